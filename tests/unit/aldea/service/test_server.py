import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from aldea.service import payload, server
from aldea.service.lifecycle import new_app
from aldea.service.server import FIRST_REQUEST, ServiceRunner, leave_http
from aldea.tasks import spawn


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a running application."""
    runner = ServiceRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):  # it was cut by the server
            await writer.wait_closed()
        await runner.cleanup()


class Echo(asyncio.Protocol):
    """Sends every chunk back in capitals."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


async def test_a_connection_that_leaves_http_belongs_to_its_new_protocol_with_what_came_early() -> None:
    async def handler(request: web.Request) -> web.Response:
        left = leave_http(request)
        assert left is not None
        transport, early = left
        transport.set_protocol(Echo(transport))
        transport.write(b"left:" + early.upper())
        transport.resume_reading()
        return web.Response(text="never sent")

    app = web.Application()
    app.router.add_get("/", handler)
    async with served(app) as (reader, writer):
        head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        writer.write(head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\nearly")
        assert await asyncio.wait_for(reader.readexactly(10), 60) == b"left:EARLY"
        writer.write(b"more")
        assert await asyncio.wait_for(reader.readexactly(4), 60) == b"MORE"


async def test_a_kept_connections_next_head_is_bounded_from_its_first_byte() -> None:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    app[FIRST_REQUEST] = 1.0
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(app) as (reader, writer):
        for wait in (0.0, 1.2):  # idle for longer than that between two requests, which is no head
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), wait)
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await asyncio.wait_for(reader.readexactly(5), 60) == b"hello"
        cut = spawn(reader.read(), name="cut")
        for byte in request[:-2] + b"X: " + b"y" * 5000:  # a minute at this pace
            writer.write(bytes([byte]))
            await asyncio.wait({cut}, timeout=0.01)
            if cut.done():
                break
        with suppress(ConnectionResetError):  # where a byte of ours crossed the server's end
            assert await asyncio.wait_for(cut, 60) == b""


async def test_the_response_to_what_is_not_http_has_the_contracts_shape() -> None:
    async with served(web.Application()) as (reader, writer):
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        response = await asyncio.wait_for(reader.read(), 60)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nServer: aldea\r\n" in response
    assert b"\r\ndg-request-id: " in response
    assert b'"err_code": "Bad Request"' in response


async def read_whole(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.path} {len(await payload.read(request))}")


def reading() -> web.Application:
    app = new_app()
    app.router.add_post("/", read_whole)
    return app


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip", 400),
        (b"Content-Encoding: deflate\r\nContent-Length: 8\r\n\r\nnot gzip", 400),
        (b"Content-Encoding: br\r\nContent-Length: 8\r\n\r\nnot gzip", 400),
        (b"Content-Encoding: zstd\r\nContent-Length: 8\r\n\r\nnot gzip", 400),
        (b"Content-Encoding: gzip, gzip\r\nContent-Length: 8\r\n\r\nnot gzip", 400),
        (b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"hello", mtime=0)[:12], 422),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", 400),
        (b"Transfer-Encoding: gzip\r\n\r\nhello", 400),
        (b"Content-Length: -1\r\n\r\nhello", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
async def test_a_body_that_is_not_what_its_headers_say_is_refused_at_once(sent: bytes, status: int) -> None:
    async with served(reading()) as (reader, writer):
        writer.write(HEAD + sent)
        response = await asyncio.wait_for(reader.read(), 60)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b'"err_msg"' in response


@pytest.mark.parametrize(
    ("begun", "rest", "status"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"no chunk\r\n", b"422"),
        (b"Content-Length: 10\r\n\r\nhello", None, b"422"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", None, b"422"),
    ],
)
async def test_a_body_that_breaks_while_it_is_waited_for_gets_its_response_at_once(
    begun: bytes, rest: bytes | None, status: bytes
) -> None:
    waiting = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        waiting.set()
        return await read_whole(request)

    app = new_app()
    app.router.add_post("/", handler)
    async with served(app) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + begun)
        await asyncio.wait_for(waiting.wait(), 60)
        if rest is None:
            writer.write_eof()
        else:
            writer.write(rest)
        response = await asyncio.wait_for(reader.read(), 60)
    assert response.startswith(b"HTTP/1.1 %b " % status)
    assert response.count(b"HTTP/1.1") == 1


async def test_what_nobody_reads_is_not_decompressed() -> None:
    bomb = gzip.compress(bytes(1 << 26))
    taken = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal taken
        while piece := await request.content.readany():
            taken += len(piece)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handler)
    async with served(app) as (reader, writer):
        writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
        assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 200 ")
    assert taken == len(bomb)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/2.0\r\nHost: x\r\n", 400),
        (b"GET /healthz HTTP/0.9\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\n", 417),
        (b"CONNECT /healthz HTTP/1.1\r\nHost: x\r\n", 404),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n", 400),
    ],
)
async def test_what_is_refused_before_any_handler_is_in_the_contracts_shape_too(head: bytes, status: int) -> None:
    async with served(reading()) as (reader, writer):
        writer.write(head + b"Connection: close\r\n\r\n")
        response = await asyncio.wait_for(reader.read(), 60)
    assert response.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nServer: aldea\r\n" in response
    body = json.loads(response.partition(b"\r\n\r\n")[2])
    assert b"\r\ndg-request-id: %b\r\n" % body["request_id"].encode() in response


async def test_a_client_that_goes_on_sending_still_gets_its_refusal() -> None:
    async with served(reading()) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nno colon\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        for _ in range(50):
            writer.write(bytes(100_000))
            await asyncio.wait_for(writer.drain(), 60)
        writer.write_eof()
        assert json.loads(await asyncio.wait_for(reader.read(), 60))["err_code"] == "Bad Request"
    assert head.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_was_refused_does_not_keep_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REFUSED_SECONDS", 0.01)
    async with served(reading()) as (reader, writer):
        writer.write(b"nonsense\r\n\r\n")
        await asyncio.wait_for(reader.read(), 60)
        with pytest.raises(ConnectionError):
            while True:
                writer.write(bytes(100_000))
                await asyncio.wait_for(writer.drain(), 60)


@pytest.mark.parametrize("slashes", [b"/", b"//", b"////"])
async def test_a_base_url_that_ends_in_a_slash_works(slashes: bytes) -> None:
    app = new_app()
    app.router.add_post("/v1/listen", read_whole)
    async with served(app) as (reader, writer):
        writer.write(HEAD.replace(b" / ", b" %bv1/listen?a=//b " % slashes) + b"Content-Length: 2\r\n\r\nhi")
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"/v1/listen 2")


async def test_only_our_own_connections_can_leave() -> None:
    async def handler(request: web.Request) -> web.Response:
        with pytest.raises(TypeError):
            leave_http(request)
        return web.Response(text="stayed")

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"stayed" in await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()


async def test_a_client_that_reads_nothing_of_its_responses_is_cut_off_and_one_that_reads_slowly_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 1.5)
    large = "x" * (1 << 24)

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=large)

    app = web.Application()
    app.router.add_get("/", handler)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(app) as (reader, writer):
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < len(large):  # for several times as long as a client may take nothing
            chunk = await asyncio.wait_for(reader.read(1 << 19), 60)
            assert chunk, f"cut off after {got} bytes"
            got += len(chunk)
            await asyncio.sleep(0.05)
        assert got == len(large)
        writer.write(request * 9)
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        async with asyncio.timeout(60):
            while not transport.is_closing():
                await asyncio.sleep(0.01)
                writer.write(b"\n")  # a connection that was cut is noticed when something is sent on it
