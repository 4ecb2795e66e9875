"""Connections to STT servers: responses in every framing, faults at every point."""

import asyncio

import pytest

from http_proxy.raw.body import Body
from http_proxy.upstream_connection import ConnectionBroken, ResponseBroken, ResponseOverdue
from tests.unit.http_proxy.connections import HEAD, exchange, plays, pool, target, whole
from tests.unit.http_proxy.servers import raw_server, read_head, read_request, response


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
        assert await whole(body) == b'{"a":1}'
        connection.abort()


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
            await whole(body)
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
        assert isinstance(body, Body)
        before = -1
        while sent != before:  # until the server takes no more
            before = sent
            await asyncio.sleep(0.02)
        assert sent < 50_000_000, "kernel buffers and ours, not the whole response"
        assert body._size < 1_000_000
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
        await asyncio.wait_for(noticed.wait(), 60)
        assert connection.responded
        assert (await connection.response()).head.code == 413
        connection.abort()


async def test_the_head_leaves_with_the_bodys_first_piece_or_at_once_without_one() -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        heard.put_nowait(await reader.readexactly(2))
        writer.write(response(b"{}"))

    async with raw_server(play) as port, asyncio.timeout(60):
        connection = await pool().acquire(target(port))
        connection.start(HEAD, lambda: None)
        assert await heard.get() == HEAD  # while the body is still to come
        connection.write(b"ab")
        assert await heard.get() == b"ab"
        assert (await connection.response(10)).head.code == 200
        connection.abort()


async def test_a_head_that_its_bodys_first_piece_follows_does_not_leave_alone() -> None:
    heard: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(len(HEAD) + 5))
        writer.write(response(b"{}"))

    async with raw_server(play) as port, asyncio.timeout(60):
        connection = await pool().acquire(target(port))
        connection.start(HEAD, lambda: None, follows=True)
        for _ in range(3):
            await asyncio.sleep(0)
        assert connection._head == HEAD  # it waits
        connection.write(b"audio")
        assert (await connection.response()).head.code == 200
        assert heard == [HEAD + b"audio"]
        connection.abort()


async def test_a_response_that_does_not_begin_in_time_is_overdue() -> None:
    async def play(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(play) as port, asyncio.timeout(60):
        connection = await pool().acquire(target(port))
        connection.start(HEAD, lambda: None)
        with pytest.raises(ResponseOverdue):
            await connection.response(0.01)
        connection.abort()
