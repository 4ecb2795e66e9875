"""A relay between two real loopback connections, with scripted bare peers at both ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ws_proxy.websocket.frames import CLOSE, mask_bytes, parse_close
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Limits


@dataclass
class Peer:
    """One scripted end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self, *, patient: bool = False) -> tuple[int, bytes]:
        """The next frame's opcode and unmasked payload. `patient`: however long it takes to come."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), None if patient else 60)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        mask = await self.reader.readexactly(4) if second & 0x80 else b""
        payload = await self.reader.readexactly(size)
        return first & 0x0F, mask_bytes(payload, mask) if mask else payload

    async def closed_with(self) -> tuple[int, str]:
        """The code and reason of the next frame, which must be a Close."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE
        return parse_close(payload)

    def abort(self) -> None:
        self.writer.transport.abort()


class _Held(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport.set_result(transport)


async def pair() -> tuple[asyncio.Transport, Peer]:
    """A TCP connection over the loopback: our end, and the scripted one."""
    loop = asyncio.get_running_loop()
    held = _Held()
    server = await loop.create_server(lambda: held, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2], limit=1 << 16)
    server.close()
    return await held.transport, Peer(reader, writer)


@asynccontextmanager
async def relayed(**limits: float) -> AsyncIterator[tuple[Relay, Peer, Peer]]:
    """A started relay, its client and its server; at the end everything is closed."""
    values = {"finish": 60, "close": 60, "boundary": 60, **limits}
    relay = Relay(Limits(**values))  # type: ignore[arg-type]
    client_side, client = await pair()
    upstream_side, upstream = await pair()
    relay.start(client_side, b"", upstream_side, b"")
    try:
        yield relay, client, upstream
    finally:
        client.abort()
        upstream.abort()
        await asyncio.wait_for(asyncio.shield(relay.ended), 60)
