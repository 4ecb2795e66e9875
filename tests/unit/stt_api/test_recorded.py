import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.recordings import encoded

if TYPE_CHECKING:
    from aiohttp.test_utils import TestClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_recording_is_answered_with_words_duration_and_hash(engine: "TestClient[Any, Any]") -> None:
    body = encoded("wav", 5.3)
    async with engine.post("/v1/listen", data=body, headers={"timestamps": "true"}) as answer:
        assert answer.status == 200
        found = await answer.json()
    metadata = found["metadata"]
    assert (metadata["duration"], metadata["channels"]) == (5.3, 1)
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert metadata["request_id"] == answer.headers["dg-request-id"]
    (alternative,) = found["results"]["channels"][0]["alternatives"]
    assert alternative["transcript"].endswith("under the old bridge")
    assert [word["word"] for word in alternative["words"]] == alternative["transcript"].split()


@pytest.mark.parametrize("multipart", [False, True])
async def test_plain_transcription_takes_a_body_or_a_form(engine: "TestClient[Any, Any]", *, multipart: bool) -> None:
    data: Any = encoded("flac", 5.3)
    if multipart:
        form = aiohttp.FormData()
        form.add_field("model", "any")
        form.add_field("file", data, filename="speech.flac")
        data = form
    async with engine.post("/transcribe", data=data) as answer:
        assert answer.status == 200
        found = await answer.json()
    assert set(found) == {"text", "duration", "request_id"}
    assert found["duration"] == 5.3
    assert found["text"].startswith("the morning was quiet")


@pytest.mark.parametrize("body", [b"", b"certainly not audio at all"])
async def test_a_body_without_audio_is_a_bad_request(engine: "TestClient[Any, Any]", body: bytes) -> None:
    async with engine.post("/v1/listen", data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["err_code"] == "Bad Request"


async def test_a_form_without_a_file_is_a_bad_request(engine: "TestClient[Any, Any]") -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("model", "any")
    async with engine.post("/transcribe", data=form) as answer:
        assert answer.status == 400
