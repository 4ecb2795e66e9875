"""Connections of plain uploads: the same bytes get the same responses as from aiohttp, and nothing is left of them."""

import asyncio
import gc
import itertools
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from aldea.service.middleware import stamp_response
from aldea.service.server import FIRST_REQUEST
from http_proxy import client_connection
from http_proxy.client_connection import RAW, UploadServer, upload_runner
from http_proxy.raw import connection as raw_connection
from http_proxy.raw.request import PlainRequest
from http_proxy.response import RELAYED, RELAYED_LAST

# How many connections the leak's test opens; 20000 take some minutes.
CONNECTIONS = int(os.environ.get("RAW_CONNECTIONS", "100"))

HEAD = b"POST /v1/listen HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b"Content-Length: 5\r\n\r\naudio"
LAST = GOOD.replace(b"Host: x", b"Host: x\r\nConnection: close").replace(b"audio", b"after")
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\naudio\r\n0\r\n\r\n"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def echo(request: web.Request) -> web.StreamResponse:
    """Says what it got, and what became of the body."""
    body = b""
    try:
        while piece := await request.content.readany():
            body += piece
    except ConnectionError as error:
        return web.Response(status=422, text=f"broken: {error}")
    return web.Response(text=f"{request.rel_url.raw_path} {body.decode()}")


@dataclass
class Site:
    """A server and which of its requests were read without aiohttp."""

    port: int
    server: UploadServer
    plain: list[bool] = field(default_factory=list)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def until_left(self) -> None:
        async with asyncio.timeout(60):
            while self.server.raw_connections or self.server.connections:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(handler: Handler = echo, *, raw: bool = True, first_seconds: float = 30.0) -> AsyncIterator[Site]:
    plain: list[bool] = []

    async def noted(request: web.Request) -> web.StreamResponse:
        plain.append(isinstance(request, PlainRequest))
        response = await handler(request)
        if isinstance(response, web.Response):
            await stamp_response(request, response)
        return response

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", noted)
    app[FIRST_REQUEST] = first_seconds
    if raw:
        app[RAW] = noted
    runner = upload_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server: Any = runner.server
        yield Site(runner.addresses[0][1], server, plain)
    finally:
        await runner.cleanup()


async def exchange(site: Site, pieces: Sequence[bytes]) -> bytes:
    """All that comes back for these bytes; after a last request that does not say so, the client closes its side."""
    reader, writer = await site.open()
    async with asyncio.timeout(60):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)
        if b"close" not in pieces[-1]:
            writer.write_eof()
        found = await reader.read()
    writer.close()
    return re.sub(rb"(Date|dg-request-id): [^\r]*|[0-9a-f-]{36}", b"", found)


SCRIPTS = {
    "one": [GOOD],
    "its body apart": [HEAD + b"Content-Length: 5\r\n\r\n", b"au", b"dio"],
    "its head in two pieces": [GOOD[:20], GOOD[20:]],
    "byte by byte": [bytes([byte]) for byte in GOOD],
    "two, one after the other": [GOOD, LAST],
    "three at once": [GOOD + GOOD.replace(b"audio", b"again") + LAST],
    "one and a half": [GOOD + GOOD[:-2]],
    "a half head behind": [GOOD + LAST[:10], LAST[10:]],
    "an empty line between": [GOOD + b"\r\n" + LAST],
    "chunked": [CHUNKED],
    "chunked behind": [GOOD + CHUNKED + LAST],
    "another method behind": [GOOD, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", LAST],
    "nonsense behind": [GOOD + b"nonsense\r\n\r\n"],
    "nonsense": [b"\x16\x03\x01\x02\x00"],
    "no body": [HEAD + b"Content-Length: 0\r\n\r\n"],
    "no length": [HEAD + b"\r\n"],
    "two lengths": [HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\naudio!"],
    "length and chunks": [HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    "a broken body": [HEAD + b"Content-Length: 50\r\n\r\naudio"],
    "to be closed": [LAST],
    "HTTP/1.0": [GOOD.replace(b"1.1", b"1.0")],
    "a strange version": [GOOD.replace(b"1.1", b"1.2")],
    "no host": [b"POST /v1/listen HTTP/1.1\r\nContent-Length: 5\r\n\r\naudio"],
    "a strange host": [GOOD.replace(b"Host: x", b"Host: x/y")],
    "an unknown expectation": [GOOD.replace(b"Host: x", b"Host: x\r\nExpect: more")],
    "a folded field": [GOOD.replace(b"Host: x", b"Host: x\r\nX: a\r\n b")],
    "a space before the colon": [GOOD.replace(b"Content-Length:", b"Content-Length :")],
    "nothing": [b""],
}


@pytest.mark.parametrize("pieces", SCRIPTS.values(), ids=SCRIPTS)
async def test_the_same_bytes_get_the_same_responses_as_from_aiohttp(pieces: list[bytes]) -> None:
    async with serving() as new, serving(raw=False) as old:
        assert await exchange(new, pieces) == await exchange(old, pieces)
        assert not any(old.plain)


async def test_requests_drawn_at_random_get_the_same_responses_in_any_pieces() -> None:
    chance = random.Random(24)
    requests = [GOOD, GOOD, GOOD.replace(b"audio", b"again"), CHUNKED, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"]
    async with serving() as new, serving(raw=False) as old:
        for _ in range(40):
            data = b"".join(chance.choices(requests, k=3)) + LAST
            edges = sorted(chance.sample(range(len(data) + 1), k=3))
            edges = [edge for edge in edges if edge < len(data) - len(LAST)]  # exchange looks at the last piece
            pieces = [data[begin:end] for begin, end in itertools.pairwise([0, *edges, len(data)])]
            found, expected = await exchange(new, pieces), await exchange(old, pieces)
            assert found == expected, pieces
        assert any(new.plain)


async def test_plain_uploads_need_no_aiohttp_and_the_first_that_is_not_plain_goes_there_for_good() -> None:
    async with serving() as site:
        await exchange(site, [GOOD, GOOD, CHUNKED, GOOD])
        assert site.plain == [True, True, False, False]


async def test_what_is_sent_behind_a_request_waits_in_the_socket() -> None:
    go = asyncio.Event()

    async def held(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return await echo(request)

    async with serving(held) as site:
        reader, writer = await site.open()
        writer.write(GOOD)
        while not site.plain:
            await asyncio.sleep(0)
        writer.write(GOOD * 200_000)  # twelve megabytes
        [connection] = site.server.raw_connections
        while not connection._behind:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(connection._behind) <= 1 << 18
        writer.transport.abort()
        go.set()
        del reader
        await site.until_left()


async def test_a_body_waits_in_the_socket_while_nobody_reads_it() -> None:
    go = asyncio.Event()

    async def held(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.Response(text=str(len(await request.content.readany()) > 0))

    async with serving(held) as site:
        reader, writer = await site.open()
        writer.write(HEAD + b"Content-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
        while not site.plain:
            await asyncio.sleep(0)
        [connection] = site.server.raw_connections
        while connection._body is None or not connection._body._paused:
            await asyncio.sleep(0)
        assert connection._body._size <= 2 * client_connection.READ_BUFFER + (1 << 18)
        go.set()
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"True")
        writer.close()


@pytest.mark.parametrize("said", [b"", GOOD[:20]], ids=["nothing", "half a head"])
async def test_a_first_head_that_does_not_come_ends_the_connection(said: bytes) -> None:
    async with serving(first_seconds=0.05) as site:
        reader, writer = await site.open()
        writer.write(said)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        await site.until_left()


async def test_a_kept_connection_waits_longer_than_a_first_head_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(first_seconds=1) as site:
        reader, writer = await site.open()
        writer.write(GOOD)
        assert await reader.readuntil(b"audio")
        [connection] = site.server.raw_connections
        while connection._timer is None or connection._timer.when() < connection._due:
            await asyncio.sleep(0.01)  # until the first head's time is over
        writer.write(GOOD)
        assert await reader.readuntil(b"audio")
        monkeypatch.setattr(UploadServer, "keepalive_seconds", 0.05)
        writer.write(GOOD)
        async with asyncio.timeout(60):
            assert (await reader.read()).endswith(b"audio"), "and then the idle connection ends"
        writer.close()


async def test_the_rest_of_a_refused_upload_is_dropped_and_the_connection_goes_on() -> None:
    async def refuses(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text="no")

    async with serving(refuses) as site:
        reader, writer = await site.open()
        writer.write(HEAD + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000 + GOOD)
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"no")
            assert await reader.readuntil(b"no")
        writer.close()


async def test_a_refused_upload_that_does_not_end_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UploadServer, "linger_seconds", 0.05)

    async def refuses(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text="no")

    async with serving(refuses) as site:
        reader, writer = await site.open()
        writer.write(HEAD + b"Content-Length: 3000000\r\n\r\naudio")
        async with asyncio.timeout(60):
            assert (await reader.read()).endswith(b"no")
        writer.close()


@pytest.mark.parametrize(("response", "kept"), [(RELAYED, True), (RELAYED_LAST, False)])
async def test_a_response_that_was_written_already_is_not_written_again(response: Any, kept: bool) -> None:
    async def relays(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        await request.content.readany()
        request.transport.write(b"own ")
        return response  # type: ignore[no-any-return]

    async with serving(relays) as site:
        reader, writer = await site.open()
        writer.write(GOOD)
        async with asyncio.timeout(60):
            assert await reader.readuntil(b"own ")
            writer.write(GOOD)
            assert await reader.read(10) == (b"own " if kept else b"")
        writer.close()


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_client_that_leaves_in_its_body_is_noticed_by_its_reader(leaves: bool) -> None:
    ends: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await echo(request)
        assert isinstance(response, web.Response)
        ends.append(str(response.text))
        return response

    async with serving(handler) as site:
        reader, writer = await site.open()
        writer.write(HEAD + b"Content-Length: 50\r\n\r\naudio")
        while not site.plain:
            await asyncio.sleep(0)
        if leaves:
            writer.transport.abort()
        else:
            writer.write_eof()
            async with asyncio.timeout(60):
                assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
            writer.close()
        await site.until_left()
        [end] = ends
        assert end.startswith("broken: the connection was ")


async def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_connection, "UNREAD_SECONDS", 0.05)

    async def large(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 30_000_000)

    async with serving(large) as site:
        reader, writer = await site.open()
        writer.write(GOOD)
        await site.until_left()  # its reader's bound stops it from reading
        writer.close()
        del reader


async def test_a_server_that_stops_ends_idle_connections_and_then_those_that_work() -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def hangs(_request: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError

    async with serving(hangs) as site:
        idle, working = await site.open(), await site.open()
        working[1].write(GOOD)
        await begun.wait()
        while len(site.server.raw_connections) < 2:
            await asyncio.sleep(0)
        site.server.pre_shutdown()
        async with asyncio.timeout(60):
            assert await idle[0].read() == b""
        assert ended == []
        await site.server.shutdown(0.05)
        assert ended == ["cancelled"]
        async with asyncio.timeout(60):
            assert await working[0].read() == b""
        for _, writer in (idle, working):
            writer.close()
        assert not site.server.raw_connections


async def test_connections_of_all_kinds_leave_nothing_behind() -> None:
    chance = random.Random(24)
    scripts = [*SCRIPTS.values(), [GOOD[:30]], [HEAD + b"Content-Length: 50000\r\n\r\n", b"x" * 4000]]

    async def one(site: Site) -> None:
        reader, writer = await site.open()
        try:
            for piece in chance.choice(scripts):
                writer.write(piece)
                await asyncio.sleep(0)
            match chance.randrange(3):
                case 0:
                    writer.transport.abort()
                case 1:
                    writer.write_eof()
                    await reader.read()
                case _:
                    await asyncio.sleep(0)
        finally:
            writer.close()

    async with serving() as site:
        before = asyncio.all_tasks()
        for _ in range(CONNECTIONS // 20):
            async with asyncio.timeout(60):
                await asyncio.gather(*(one(site) for _ in range(20)), return_exceptions=True)
        await site.until_left()
        async with asyncio.timeout(60):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.01)
        gc.collect()
        left = [found for found in gc.get_objects() if isinstance(found, raw_connection.RawConnection | PlainRequest)]
        assert left == []
