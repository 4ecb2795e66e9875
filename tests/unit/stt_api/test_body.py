import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from aldea.errors import BadRequest, UnprocessableEntity
from aldea.service.lifecycle import new_app
from stt_api import body as module
from stt_api.body import departure, multipart_body, plain_body
from tests.support.standstills import DEADLINE, sent_meanwhile


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[TestServer]:
    app = new_app()
    app.router.add_post("/", handler)
    server = TestServer(app)
    await server.start_server(auto_decompress=False)
    async with server:
        yield server


async def swallow(request: web.Request) -> web.StreamResponse:
    return web.Response(text=str(sum([len(chunk) async for chunk in plain_body(request)])))


async def status_of(server: TestServer, *sent: bytes, pause: float = 0.0) -> int:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(60):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_a_body_that_stands_still_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.1)
    async with serving(swallow) as server:
        assert await status_of(server, bytes(10)) == 408


async def test_a_body_that_trickles_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", 0.2)
    async with serving(swallow) as server:
        assert await status_of(server, *([b"x"] * 12), pause=0.05) == 408


@pytest.mark.parametrize(
    "part",
    [b"no colon", b"X: " + b"a" * 100_000, b"X: a\r\n" * 20_000, b'Content-Disposition: form-data; name="_charset_"'],
)
async def test_a_form_that_cannot_be_read_is_refused_in_our_own_words(part: bytes) -> None:
    texts = []

    async def take(request: web.Request) -> web.StreamResponse:
        with pytest.raises(BadRequest) as refused:
            async for _ in multipart_body(request):
                pass
        texts.append(refused.value.message)
        return web.Response()

    form = b"--XX\r\n" + part + b"\r\n\r\n" + b"x" * 40 + b"\r\n--XX--\r\n"
    async with serving(take) as server, ClientSession() as session:
        headers = {"Content-Type": "multipart/form-data; boundary=XX"}
        async with session.post(server.make_url("/"), data=form, headers=headers) as response:
            assert response.status == 200
    assert re.search("Error|Bad|Invalid|LineTooLong", texts[0]) is None


async def test_who_has_left_is_noticed_though_nothing_is_read() -> None:
    noticed = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.pause_reading()
        with pytest.raises(UnprocessableEntity):
            await departure(request)
        noticed.set()
        return web.Response()

    async with serving(wait) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + bytes(10))
        await writer.drain()
        writer.close()
        async with asyncio.timeout(60):
            await noticed.wait()


async def test_a_body_that_came_while_the_process_stood_still_is_not_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_SECONDS", DEADLINE)
    async with serving(swallow) as server:
        assert await sent_meanwhile(str(server.host), int(server.port or 0), "/") == b"200"
