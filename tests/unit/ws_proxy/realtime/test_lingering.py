"""A connection's end reaches a client that still sends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ws_proxy.realtime import lingering
from ws_proxy.realtime.lingering import discard_the_rest

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def served(client: Client, *, most_seconds: float) -> list[str]:
    """What happened at the server, which says its end at once and then lingers."""
    seen: list[str] = []
    done = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"end")
            self.task = asyncio.get_running_loop().create_task(self.linger(transport))

        def connection_lost(self, exc: Exception | None) -> None:
            seen.append("lost")

        async def linger(self, transport: asyncio.Transport) -> None:
            await discard_the_rest(transport, most_seconds=most_seconds)
            assert transport.get_protocol() is self
            seen.append("lingered")
            transport.close()
            done.set()

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    try:
        async with asyncio.timeout(60):
            await client(reader, writer)
            await done.wait()
    finally:
        writer.close()
        server.close()
    return seen


async def test_a_client_that_still_sends_reads_the_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(64):
            writer.write(bytes(1 << 17))
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"end"

    assert (await served(talk, most_seconds=300))[0] == "lingered"


async def test_a_client_that_leaves_is_noticed_by_the_protocol_of_before() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"end"
        writer.transport.abort()

    assert set(await served(leave, most_seconds=300)) == {"lost", "lingered"}


@pytest.mark.parametrize("silent", [True, False])
async def test_neither_silence_nor_a_client_without_end_holds_it(monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    monkeypatch.setattr(lingering, "SILENCE_SECONDS", 0.01 if silent else 300)

    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"more")
        assert await reader.read() == b"end"

    assert (await served(stay, most_seconds=300 if silent else 0.05))[0] == "lingered"
