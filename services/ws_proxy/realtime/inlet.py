"""Inlet: a relay's connection to a client that is in the same process. The relay sees a transport like any other."""

import asyncio
from collections.abc import Callable
from typing import Any

from ws_proxy.websocket.leg import HIGH_WATER_BYTES, LOW_WATER_BYTES


class Inlet(asyncio.Transport):
    """The relay writes to it as to a socket; `take` and `feed` are the other end.

    `on_abort`: called when the relay drops the connection, as it does with a client that takes nothing.
    """

    def __init__(self, on_abort: Callable[[], None]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._on_abort = on_abort
        self._protocol: asyncio.Protocol | None = None
        self._written: list[bytes] = []
        self._size = 0
        self._high, self._low = HIGH_WATER_BYTES, LOW_WATER_BYTES
        self._full = self._closing = self._lost = False
        self._changed = asyncio.Event()  # something was written, or the end has come
        self._reading = asyncio.Event()

    # The other end.

    async def take(self) -> bytes:
        """What was written, once there is some; b"" at the end. It is what the buffer gets room by."""
        while not self._written and not self._closing:
            self._changed.clear()
            await self._changed.wait()
        data, self._written = b"".join(self._written), []
        return data

    def taken(self, size: int) -> None:
        """So many bytes of what `take` returned are done with."""
        self._size -= size
        if self._full and self._size <= self._low:
            self._full = False
            if self._protocol is not None and not self._lost:
                self._protocol.resume_writing()

    async def feed(self, data: bytes) -> None:
        """Bytes from the client, once the relay reads them."""
        await self._reading.wait()
        if self._protocol is not None and not self._lost:
            self._protocol.data_received(data)

    def end(self) -> None:
        """The client's connection is closed: the relay is notified, once."""
        self._closing = True
        self._changed.set()
        self._reading.set()
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._connection_lost)

    def _connection_lost(self) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(None)

    # The relay's end.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        self._written.append(bytes(data))
        self._size += len(data)
        self._changed.set()
        if self._size > self._high and not self._full and self._protocol is not None:
            self._full = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """The other end gets what was written, and ends the connection then."""
        self._closing = True
        self._changed.set()
        self._reading.set()

    def abort(self) -> None:
        self._written.clear()
        self.end()
        self._on_abort()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol):
            raise TypeError("a relay's leg is a stream protocol")
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER_BYTES if high is None else high
        self._low = LOW_WATER_BYTES if low is None else low

    def get_write_buffer_size(self) -> int:
        return self._size

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - the base class's signature
        return default
