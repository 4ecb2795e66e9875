"""Clients' connections: bodies that end too early, half-closed connections, refused uploads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from aldea.faults import BodyEnded
from aldea.service.server import ServerHandler
from http_proxy.client_connection import SHORTCUT, upload_runner

Handler = Callable[[web.Request], Awaitable[web.Response]]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = upload_runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()
        await runner.cleanup()


async def report_breaks(request: web.Request) -> web.Response:
    try:
        while await request.content.readany():
            pass
    except BodyEnded as error:
        return web.Response(status=422, text=str(error))
    return web.Response(text="whole")


@pytest.mark.parametrize(
    "sent",
    [HEAD + b"Content-Length: 10\r\n\r\naudio", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\naudio\r\n"],
)
async def test_a_client_that_stops_in_its_body_still_gets_an_error(sent: bytes) -> None:
    async with connected(report_breaks) as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        response = await reader.read()
        assert response.startswith(b"HTTP/1.1 422"), "and the connection ends after it"


async def test_a_broken_chunk_is_reported_to_the_handler_that_reads_the_body() -> None:
    begun = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        begun.set()
        return await report_breaks(request)

    async with connected(handler) as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\naudio\r\n")
        await begun.wait()
        writer.write(b"not a chunk\r\n")
        response = await reader.read()
        assert response.startswith(b"HTTP/1.1 422")
        assert response.count(b"HTTP/1.1") == 1


async def test_a_client_that_half_closes_after_its_request_gets_its_response() -> None:
    go = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await go.wait()
        return await report_breaks(request)

    async with connected(handler) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 5\r\n\r\naudio")
        writer.write_eof()
        await asyncio.sleep(0)
        go.set()
        assert (await reader.read()).endswith(b"whole")


async def test_an_idle_connection_ends_with_its_client() -> None:
    async with connected(report_breaks) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 5\r\n\r\naudio")
        assert await reader.readuntil(b"whole")
        writer.write_eof()
        assert await reader.read() == b""


async def test_a_connection_without_a_request_ends_with_its_client() -> None:
    async with connected(report_breaks) as (reader, writer):
        writer.write_eof()
        assert await reader.read() == b""


async def test_the_rest_of_a_refused_upload_is_thrown_away_so_that_the_refusal_arrives() -> None:
    async def refuses(_request: web.Request) -> web.Response:
        return web.Response(status=413)

    async with connected(refuses) as (reader, writer):
        writer.write(HEAD + b"Content-Length: 3000000\r\n\r\n")
        for _ in range(30):
            writer.write(b"x" * 100_000)
            await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")


async def test_a_compressed_body_is_not_unpacked() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await request.content.read())

    async with connected(handler) as (reader, writer):
        writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip")
        assert await reader.readuntil(b"not gzip")


async def test_a_shortcut_stands_before_the_router_and_may_leave_a_request_to_it() -> None:
    def shortcut(routed: ServerHandler) -> ServerHandler:
        async def respond(request: web.Request) -> web.StreamResponse:
            return web.Response(text="short") if request.query_string else await routed(request)

        return respond

    async def ordinary(_request: web.Request) -> web.Response:
        return web.Response(text="routed")

    app = web.Application()
    app.router.add_post("/", ordinary)
    app[SHORTCUT] = shortcut
    runner = upload_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            for target, text in (("/", "routed"), ("/?a", "short")):
                async with client.post(target) as response:
                    assert await response.text() == text
    finally:
        await runner.cleanup()
