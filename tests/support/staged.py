"""A stand-in for an STT server whose every step a test decides: when it accepts a handshake, what it sends, when."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.http_proxy.servers import raw_server, read_request
from ws_proxy.websocket.frames import CloseCode, close_frame, frame
from ws_proxy.websocket.handshake import accept_key

OPEN, TEXT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", 1


class StagedConnection:
    """A connection on which a request has come."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    @property
    def opening(self) -> bytes:
        """The 101 to its handshake."""
        lines = self.head.decode().split("\r\n")
        key = next(line.split(": ", 1)[1] for line in lines if line.lower().startswith("sec-websocket-key"))
        return OPEN + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()

    async def send(self, data: bytes) -> None:
        """Write, whether or not somebody reads."""
        self.writer.write(data)
        await self.writer.drain()

    async def report(self, seconds: float, *, last: bool = False) -> None:
        """A Results of so many seconds; `last`: then a Close."""
        message = {"type": "Results", "channel_index": [0, 1], "start": 0.0, "duration": seconds, "is_final": True}
        await self.send(frame(TEXT, json.dumps(message).encode(), masked=False))
        if last:
            await self.send(close_frame(CloseCode.NORMAL, masked=False))

    async def gone(self) -> None:
        """Wait until the proxy has ended the connection."""
        async with asyncio.timeout(60):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                pass


class StagedStt:
    """The server: requests that wait for a response, in the order of arrival."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: asyncio.Queue[StagedConnection] = asyncio.Queue()

    async def next(self) -> StagedConnection:
        """The next request."""
        async with asyncio.timeout(60):
            return await self.connections.get()

    async def play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to probes; leave everything else to the test."""
        while True:
            head, _ = await read_request(reader)
            if not head.startswith(b"GET /stats"):
                break
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        self.connections.put_nowait(StagedConnection(head, reader, writer))
        await asyncio.Event().wait()


@asynccontextmanager
async def staged_stt() -> AsyncIterator[StagedStt]:
    """A running one."""
    server = StagedStt()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        await server.play(reader, writer)

    async with raw_server(play) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
