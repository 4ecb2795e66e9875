"""Connections to raw servers, for the tests of connections and of their pool."""

import asyncio
from collections.abc import Callable

from aiohttp import StreamReader

from aldea.upstream import Upstream, Upstreams
from http_proxy.raw.body import Body
from http_proxy.upstream_connection import Connection, UpstreamResponse
from http_proxy.upstream_pool import Pool
from tests.unit.http_proxy.servers import Play, read_request

HEAD = b"POST /v1/listen HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"


def nothing() -> None:
    return


def target(port: int) -> Upstream:
    return Upstreams([f"http://127.0.0.1:{port}"]).servers[0]


def pool(idle_seconds: float = 5.0) -> Pool:
    return Pool(connect_seconds=5, idle_seconds=idle_seconds)


async def exchange(connection: Connection, on_response: Callable[[], None] = nothing) -> UpstreamResponse:
    connection.start(HEAD, on_response)
    connection.write(b"audio")
    async with asyncio.timeout(60):
        return await connection.response()


async def whole(body: StreamReader | Body) -> bytes:
    """All of a response's body."""
    found = b""
    while piece := await body.readany():
        found += piece
    return found


def plays(*pieces: bytes, close: bool = True) -> Play:
    """Responds to every request with these bytes, flushed one by one."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return play
