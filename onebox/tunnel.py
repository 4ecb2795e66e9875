"""A WebSocket connection handed through as raw bytes, both ways, with back-pressure and without looking inside."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter

from aldea.tasks import cancel, spawn

# What may wait in one direction before its source is no longer read: a few reads of the event loop.
HIGH_WATER_BYTES: Final = 256 * 1024
# How long the service may take to read what a client sent before it left.
LAST_WORDS_SECONDS: Final = 5.0
# A side that takes nothing from a full buffer for so long is cut off, as ws_proxy does: what is behind it is not read
# meanwhile, so that nobody would notice that the other side has left.
STALL_SECONDS: Final = 60.0


class _Takeover(Protocol):
    """What both of aiohttp's connection classes offer to their WebSocket readers."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Direction:
    """One way through the tunnel: it is aiohttp's payload parser on the source and writes to the sink."""

    def __init__(self, source: _Takeover, sink: BaseProtocol) -> None:
        self._source = source
        self._protocol = sink
        self._sink = StreamWriter(sink, asyncio.get_running_loop())
        self._waiting: list[bytes] = []
        self._size = 0
        self._paused = False
        self._ended = False
        self._changed = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp with what arrived; always wants more and leaves nothing over."""
        self._waiting.append(bytes(data))
        self._size += len(data)
        self._changed.set()
        if self._size > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._source.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp when the source has closed."""
        self._ended = True
        self._changed.set()

    def set_exception(self, _error: BaseException, _cause: BaseException | None = None) -> None:
        """Called by aiohttp when the source broke."""
        self.feed_eof()

    async def pump(self) -> None:
        """Write what arrives, as fast as the sink takes it, until the source ends. Raises OSError without a sink."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            data, self._waiting, self._size = b"".join(self._waiting), [], 0
            if data:
                await self._sink.write(data, drain=False)
                if self._protocol.writing_paused:
                    await self._taken()
            if self._paused and not self._size:
                self._paused = False
                self._source.resume_reading()
            if self._ended and not self._size:
                return

    async def _taken(self) -> None:
        """Wait until the sink has taken enough. Raises OSError if it is lost, or takes nothing."""
        draining = spawn(_until_broken(self._sink.drain()), name="tunnel-drain")
        try:
            while (transport := self._protocol.transport) is not None:
                before = transport.get_write_buffer_size()
                await asyncio.wait({draining}, timeout=STALL_SECONDS)
                if draining.done():
                    return
                if transport.get_write_buffer_size() >= before:
                    transport.abort()
                    raise ConnectionAbortedError("the peer takes nothing")
        finally:
            await cancel(draining)


async def carry(client: Any, server: Any) -> None:
    """Hand bytes through between two aiohttp connections (their protocols) until either side ends.

    What arrived before a side ended is delivered to the other, also if this is cancelled because the client has left.
    """
    up, down = Direction(client, server), Direction(server, client)
    client.set_parser(up)
    server.set_parser(down, None)
    ways = [spawn(_until_broken(each.pump()), name=f"tunnel-{name}") for name, each in (("up", up), ("down", down))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        up.feed_eof()
        await asyncio.wait(ways, timeout=LAST_WORDS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        raise
    finally:
        await cancel(*ways)


async def _until_broken(work: Awaitable[None]) -> None:
    try:
        await work
    except OSError:
        return  # the peer has closed, which is how a tunnel ends
