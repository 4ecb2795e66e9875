"""Connections to STT servers: responses in every framing, faults at every point, pooling."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from aldea.upstream import Upstream, Upstreams
from http_proxy.upstream_connection import (
    MAX_IDLE,
    ConnectFailed,
    Connection,
    ConnectionBroken,
    Pool,
    ResponseBroken,
    ResponseOverdue,
    UpstreamResponse,
)
from tests.unit.http_proxy.servers import Play, deaf_server, raw_server, read_head, read_request, response

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
    async with asyncio.timeout(10):
        return await connection.response()


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


@pytest.mark.parametrize(
    "pieces",
    [
        (response(b'{"a":1}'),),
        tuple(bytes([byte]) for byte in response(b'{"a":1}')),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n', b'4\r\n":1}\r\n0\r\n\r\n'),
        (b"HTTP/1.1 200 OK\r\n\r\n", b'{"a"', b":1}"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b'{"a":1}'),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", response(b'{"a":1}')),
    ],
)
async def test_a_response_is_read_in_every_framing(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(plays(*pieces)) as port:
        connection = await pool().acquire(target(port))
        head, body = await exchange(connection)
        assert head.code == 200
        assert await body.read() == b'{"a":1}'
        connection.abort()


async def test_a_connection_serves_one_request_after_another() -> None:
    seen: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append((await read_request(reader))[1])
            writer.write(response(b"{}"))

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        first = await connections.acquire(server)
        for _ in range(5):
            connection = await connections.acquire(server) if seen else first
            assert connection is first
            _, body = await exchange(connection)
            assert await body.read() == b"{}"
            connections.release(server, connection)
        assert seen == [b"audio"] * 5
        connections.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (response(b"{}", headers=b"Connection: close\r\n"),),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",),
    ],
)
async def test_a_connection_that_the_server_will_close_is_not_kept(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(plays(*pieces, close=False)) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await body.read()
        connections.release(server, connection)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_half_read_response_is_not_kept() -> None:
    async with raw_server(plays(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", close=False)) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        await exchange(connection)
        assert not connection.reusable
        connections.release(server, connection)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_connection_closed_while_idle_is_noticed_before_it_is_used() -> None:
    closed = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"{}"))
        await closed.wait()

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await body.read()
        connections.release(server, connection)
        assert not connection.stale()
        closed.set()
        async with asyncio.timeout(10):
            while not connection.stale():
                await asyncio.sleep(0)
        assert await connections.acquire(server) is not connection
        connections.close()


async def test_a_loss_just_after_reuse_is_known_to_have_reached_nothing() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"{}"))
        await reader.read(1)

    async with raw_server(play) as port:
        server, connections = target(port), pool()
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await body.read()
        connections.release(server, connection)
        with pytest.raises(ConnectionBroken) as caught:
            await exchange(await connections.acquire(server))
        assert caught.value.unused
        connections.close()


async def test_a_loss_on_a_fresh_connection_may_have_reached_the_server() -> None:
    noticed: list[int] = []
    async with raw_server(plays()) as port:
        with pytest.raises(ConnectionBroken) as caught:
            await exchange(await pool().acquire(target(port)), lambda: noticed.append(1))
        assert not caught.value.unused
        assert noticed == [1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n", b"\x00" * 64, b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_http_response_breaks_the_connection(garbage: bytes) -> None:
    async with raw_server(plays(garbage, close=False)) as port:
        connection = await pool().acquire(target(port))
        with pytest.raises(ConnectionBroken):
            await exchange(connection)
        assert not connection.reusable


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
    ],
)
async def test_a_response_that_breaks_off_says_so(pieces: tuple[bytes, ...]) -> None:
    async with raw_server(plays(*pieces)) as port:
        connection = await pool().acquire(target(port))
        with pytest.raises((ResponseBroken, ConnectionBroken)):
            _, body = await exchange(connection)
            await body.read()
        connection.abort()


async def test_an_unexpected_response_ends_the_connection() -> None:
    async with raw_server(plays(response(b"{}") + response(b"{}"), close=False)) as port:
        connection = await pool().acquire(target(port))
        await exchange(connection)
        assert not connection.reusable


async def test_a_slow_reader_pauses_the_server() -> None:
    sent = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with raw_server(play) as port:
        connection = await pool().acquire(target(port))
        _, body = await exchange(connection)
        before = -1
        while sent != before:  # until the server takes no more
            before = sent
            await asyncio.sleep(0.02)
        assert sent < 50_000_000, "kernel buffers and ours, not the whole response"
        assert body.total_bytes < 1_000_000
        total = 0
        while piece := await body.readany():
            total += len(piece)
        assert total == 100_000_000
        connection.abort()


async def test_a_response_before_the_body_is_reported_at_once() -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response(b"{}", status="413 Too Large"))
        await reader.read()

    async with raw_server(play) as port:
        noticed = asyncio.Event()
        connection = await pool().acquire(target(port))
        connection.start(HEAD, noticed.set)
        await asyncio.wait_for(noticed.wait(), 10)
        assert connection.responded
        assert (await connection.response()).head.code == 413
        connection.abort()


async def test_idle_connections_are_closed_after_their_time() -> None:
    async with raw_server(plays(response(b"{}"), close=False)) as port:
        server, connections = target(port), pool(idle_seconds=0.02)
        connection = await connections.acquire(server)
        _, body = await exchange(connection)
        await body.read()
        connections.release(server, connection)
        async with asyncio.timeout(10):
            while connection.transport is not None:
                await asyncio.sleep(0.005)


async def test_no_more_than_so_many_idle_connections_are_kept() -> None:
    async with raw_server(plays(response(b"{}"), close=False)) as port:
        server, connections = target(port), pool()
        taken = [await connections.acquire(server) for _ in range(MAX_IDLE + 3)]
        for connection in taken:
            _, body = await exchange(connection)
            await body.read()
        for connection in taken:
            connections.release(server, connection)
        await asyncio.sleep(0)
        assert len([c for c in taken if c.transport is not None and not c.transport.is_closing()]) == MAX_IDLE
        connections.close()


async def test_no_connection_is_one_clear_failure() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with pytest.raises(ConnectFailed, match="Refused"):
        await pool().acquire(target(port))
    with pytest.raises(ConnectFailed):
        await pool().acquire(Upstreams(["http://name.invalid:1"]).servers[0])


async def test_a_server_that_acknowledges_no_syn_is_given_up_at_the_connect_deadline() -> None:
    with deaf_server() as port:
        async with asyncio.timeout(10):
            with pytest.raises(ConnectFailed, match=r"^no connection within 0\.2 s$"):
                await Pool(connect_seconds=0.2, idle_seconds=5).acquire(target(port))


async def test_the_head_leaves_with_the_bodys_first_piece_or_at_once_without_one() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        heard.put_nowait(await reader.readexactly(2))
        writer.write(response(b"{}"))

    async with raw_server(play) as port, asyncio.timeout(10):
        connection = await pool().acquire(target(port))
        connection.start(HEAD, lambda: None)
        assert await heard.get() == HEAD  # while the body is still to come
        connection.write(b"ab")
        assert await heard.get() == b"ab"
        assert (await connection.response(10)).head.code == 200
        connection.abort()


async def test_a_response_that_does_not_begin_in_time_is_overdue() -> None:
    async def play(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(play) as port, asyncio.timeout(10):
        connection = await pool().acquire(target(port))
        connection.start(HEAD, lambda: None)
        with pytest.raises(ResponseOverdue):
            await connection.response(0.01)
        connection.abort()
