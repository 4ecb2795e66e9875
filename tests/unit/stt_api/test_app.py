import uuid
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from aldea.settings import read
from stt_api.app import make_app
from stt_api.settings import SttSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_proxys_request_id_is_taken_over(engine: "TestClient[Any, Any]") -> None:
    theirs = str(uuid.uuid4())
    async with engine.ws_connect("/v1/listen?sample_rate=16000", headers={"dg-request-id": theirs}) as socket:
        assert (await socket.receive_json())["request_id"] == theirs


async def test_a_bad_parameter_is_refused_before_the_upgrade(engine: "TestClient[Any, Any]") -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await engine.ws_connect("/v1/listen?channels=99")
    assert refused.value.status == 400
    assert refused.value.headers is not None
    assert "channels: got '99'" in refused.value.headers["dg-error"]


@pytest.mark.parametrize("query", ["callback=https://example.com/", "encoding=speex"])
async def test_what_a_live_stream_cannot_do_is_a_bad_request(engine: "TestClient[Any, Any]", query: str) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await engine.ws_connect(f"/v1/listen?{query}")
    assert refused.value.status == 400


async def test_a_get_without_an_upgrade_gets_instructions_and_a_url_inside_is_refused(
    engine: "TestClient[Any, Any]",
) -> None:
    async with engine.get("/v1/listen") as response:
        assert response.status == 400
    async with engine.post("/v1/listen", json={"url": "http://127.0.0.1/a.wav"}) as response:
        assert response.status == 400
        assert "no public address" in (await response.json())["err_msg"]


async def test_a_stream_beyond_the_places_is_503_with_retry_after(engine: "TestClient[Any, Any]") -> None:
    path = "/v1/listen?sample_rate=16000"
    async with engine.ws_connect(path), engine.ws_connect(path):
        with pytest.raises(WSServerHandshakeError) as refused:
            await engine.ws_connect(path)
    assert refused.value.status == 503
    assert refused.value.headers is not None
    assert int(refused.value.headers["Retry-After"]) >= 1


async def test_a_token_is_required_if_there_is_one_to_know() -> None:
    app = make_app(read(SttSettings, port=0, stt_workers=1, stt_api_token="hush"))
    async with TestClient(TestServer(app)) as client:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Token no"}, 401),
            ({"Authorization": "Token hush"}, 200),
        ):
            async with client.get("/stats", headers=headers) as response:
                assert response.status == status
        async with client.get("/healthz") as response:
            assert response.status == 200
