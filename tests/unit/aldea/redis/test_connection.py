"""The shared connection to Redis, against a server that says what each test wants it to say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis import exceptions

from aldea.redis.connection import Wire, pack

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Plain:
    """redis-py's part: a connection that was made."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait


@asynccontextmanager
async def wire_to(serve: Serve) -> AsyncIterator[Wire]:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    connection: Any = Plain(server.sockets[0].getsockname()[1])
    wire = await Wire.open(connection)
    try:
        async with asyncio.timeout(60):
            yield wire
    finally:
        await wire.close()
        server.close()
        await server.wait_closed()


def saying(*pieces: bytes, after: int = 4) -> Serve:
    """Say `pieces` one by one once `after` bytes have come, then wait for the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(after)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    return serve


def test_a_command_is_packed_as_the_protocol_has_it() -> None:
    assert pack(("SET", "ä", 5)) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$1\r\n5\r\n"
    with pytest.raises(UnicodeEncodeError):
        pack(("GET", "\ud800"))


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_responses_are_handed_out_in_the_order_of_the_commands_however_they_are_cut(size: int) -> None:
    text = b":1\r\n$2\r\n\xc3\xa4\r\n$-1\r\n-NOSCRIPT No matching script\r\n*2\r\n+a\r\n:0\r\n"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    async with wire_to(saying(*pieces, after=8)) as wire:
        first, second = wire.exchange(b"one ", 2), wire.exchange(b"two ", 3)
        assert await first == [1, "ä"]
        absent, error, nested = await second
        assert absent is None
        assert isinstance(error, exceptions.NoScriptError)
        assert nested == ["a", 0]
        assert wire.usable


async def test_an_exchange_that_was_cancelled_takes_its_responses_with_it() -> None:
    async with wire_to(saying(b":1\r\n:2\r\n", after=8)) as wire:
        given_up = wire.exchange(b"one ", 1)
        given_up.cancel()
        assert await wire.exchange(b"two ", 1) == [2]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", exceptions.ConnectionError),
        (b":1", exceptions.ConnectionError),
        (b"hello\r\n", exceptions.InvalidResponse),
    ],
)
async def test_waiting_calls_fail_with_a_connection_that_is_lost_or_breaks_the_protocol(
    said: bytes, error: type[Exception]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(said)
        await writer.drain()

    async with wire_to(serve) as wire:
        first, second = wire.exchange(b"one ", 2), wire.exchange(b"", 1)
        for responses in (first, second):
            with pytest.raises(error):
                await responses
        assert not wire.usable
        with pytest.raises(exceptions.ConnectionError):
            await wire.exchange(b"late", 1)


async def test_a_response_to_no_command_ends_the_wire() -> None:
    async with wire_to(saying(b":1\r\n:2\r\n")) as wire:
        await wire.exchange(b"one ", 1)
        while wire.usable:
            await asyncio.sleep(0)


async def test_a_retired_wire_ends_after_its_last_response() -> None:
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(b":1\r\n")
        try:
            await reader.read()
        finally:
            hung_up.set()

    async with wire_to(serve) as wire:
        last = wire.exchange(b"one ", 1)
        wire.retire()
        assert not wire.usable
        assert await last == [1]
        await hung_up.wait()


async def test_a_retired_wire_on_which_nobody_waits_ends_at_once() -> None:
    hung_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            hung_up.set()

    async with wire_to(serve) as wire:
        wire.exchange(b"one ", 1).cancel()
        wire.retire()
        await hung_up.wait()
