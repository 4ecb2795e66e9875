import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from frontend.api import ApiDown, ApiRefusal, PlatformApi, SignedInApi, segment
from frontend.models import Me
from onebox.ports import free_port
from tests.fakes.platform_api import EMAIL, PROJECT, SESSION, FakePlatformApi, refusal


@pytest.fixture
async def api(fake_api: FakePlatformApi) -> AsyncIterator[PlatformApi]:
    async with fake_api.serving() as url, ClientSession() as http:
        yield PlatformApi(http, url + "/", timeout=60)


async def served_by(handler: object, *, timeout: float = 5.0) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    async with TestServer(app) as server, ClientSession() as http:
        await PlatformApi(http, str(server.make_url("")), timeout=timeout).call("GET", "/v1/me")


async def test_a_call_carries_the_session_in_authorization_and_the_readers_address(
    api: PlatformApi, fake_api: FakePlatformApi
) -> None:
    me = await SignedInApi(api, SESSION, "198.51.100.7").get("/v1/me", Me, empty="", none=None, page=2)
    assert me.user.email == EMAIL
    assert fake_api.authorizations[-1] == f"Bearer {SESSION}"
    assert fake_api.addresses[-1] == "198.51.100.7"
    assert fake_api.calls[-1][2] == {"page": "2"}, "what is empty is not requested"


async def test_a_refusal_keeps_the_apis_own_sentence_and_request_id(
    api: PlatformApi, fake_api: FakePlatformApi
) -> None:
    fake_api.refuse["/keys"] = lambda: refusal(429, "TOO_MANY_REQUESTS", "Slow down.", **{"Retry-After": "7"})
    with pytest.raises(ApiRefusal) as refused:
        await SignedInApi(api, SESSION, "").send("POST", f"/v1/projects/{PROJECT}/keys", {"comment": "x"})
    error = refused.value
    assert (error.status, error.err_code, error.message) == (429, "TOO_MANY_REQUESTS", "Slow down.")
    assert error.retry_after == "7"
    assert error.request_id.startswith("0199cccc")


async def test_an_api_that_says_it_cannot_serve_is_down(api: PlatformApi, fake_api: FakePlatformApi) -> None:
    fake_api.down = True
    with pytest.raises(ApiDown, match="The database is unavailable"):
        await api.check()


async def test_an_api_that_is_not_there_is_down() -> None:
    async with ClientSession() as http:
        with pytest.raises(ApiDown):
            await PlatformApi(http, f"http://127.0.0.1:{free_port()}", timeout=60).check()


async def test_an_api_that_says_nothing_within_the_deadline_is_down() -> None:
    forever = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await forever.wait()
        return web.Response()

    with pytest.raises(ApiDown, match="no response within"):
        await served_by(silent, timeout=0.05)


async def test_a_response_that_is_no_json_is_down() -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>a proxy's page</html>")

    with pytest.raises(ApiDown, match="not JSON"):
        await served_by(page)


async def test_a_refusal_without_the_contracts_body_still_has_a_sentence() -> None:
    async def teapot(_request: web.Request) -> web.Response:
        return web.Response(status=418, text="short and stout")

    with pytest.raises(ApiRefusal, match="The Platform API responded with status 418"):
        await served_by(teapot)


async def test_a_download_is_read_as_it_comes_and_refused_like_a_call(
    api: PlatformApi, fake_api: FakePlatformApi
) -> None:
    path = f"/v1/projects/{PROJECT}/usage/csv"
    async with api.download(path, token=SESSION, query={"start": "2026-11-01"}) as response:
        assert (await response.text()).startswith("day,requests")
    assert fake_api.query_of("/csv") == {"start": "2026-11-01"}
    with pytest.raises(ApiRefusal, match="401"):
        async with api.download(path, token="sess_unknown"):
            pass


def test_any_text_is_one_segment_of_a_path() -> None:
    assert segment("a/b?c@d.example") == "a%2Fb%3Fc%40d.example"
