from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from onebox.given import stt_servers
from onebox.given.errors import Unusable

TOKEN = "t0ken"


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """An STT server's statistics, for those who have the token."""

    async def stats(request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if request.headers.get("Authorization") == f"Token {TOKEN}" else 401)

    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app) as started:
        yield str(started.make_url("/")).rstrip("/")


async def test_a_server_that_responds_is_named(server: str) -> None:
    assert await stt_servers.check(server, TOKEN) == f"STT server on {server.removeprefix('http://')}"


async def test_one_of_several_may_be_away_and_is_named(server: str, closed_port: int) -> None:
    said = await stt_servers.check(f"http://127.0.0.1:{closed_port},{server}", TOKEN)
    assert said.endswith(f"(no response from 127.0.0.1:{closed_port}, which is tried again later)")
    with pytest.raises(Unusable, match="nothing listens"):
        await stt_servers.check(f"http://127.0.0.1:{closed_port},http://localhost:{closed_port}", TOKEN)


@pytest.mark.parametrize("token", [None, "wr0ng"])
async def test_a_wrong_token_is_refused_without_showing_it(server: str, token: str | None, closed_port: int) -> None:
    for servers in (server, f"{server},http://127.0.0.1:{closed_port}"):
        with pytest.raises(Unusable, match=r"does not take the token \(status 401\)") as refused:
            await stt_servers.check(servers, token)
        assert "wr0ng" not in str(refused.value)


async def test_a_web_server_is_no_stt_server(web_port: int, server: str) -> None:
    for servers in (f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{web_port},{server}"):
        with pytest.raises(Unusable, match=r"is no STT server: GET /stats has status 404; needed: 200"):
            await stt_servers.check(servers, TOKEN)
