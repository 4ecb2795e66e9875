import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from aldea.server import ServiceRunner, leave_http


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
        await writer.wait_closed()
        await runner.cleanup()


class Echo(asyncio.Protocol):
    """Answers every chunk in capitals."""

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
        assert await asyncio.wait_for(reader.readexactly(10), 5) == b"left:EARLY"
        writer.write(b"more")
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"MORE"


async def test_what_is_no_http_is_answered_in_the_contracts_shape() -> None:
    async with served(web.Application()) as (reader, writer):
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b'"err_code": "Bad Request"' in answer


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
    assert b"stayed" in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
