"""A way from a client to a onebox that listens in: which audio went through, and under which request's id.

Bytes go through as they are. So the bill can be held against what was sent, whatever client sent it, and also where the
client shows no request's id and adds silence of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from aldea.tasks import cancel, spawn

CHUNK_BYTES: Final = 64 * 1024
BINARY: Final = 2
TEXT: Final = 1


@dataclass(frozen=True)
class Sent:
    """A request with audio that was served: the first one of its connection."""

    path: str
    request_id: str
    # Of raw samples alone: 16 bits, one channel. None: a file, or another encoding.
    raw_ms: float | None


@dataclass
class _Connection:
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)

    def request(self) -> Sent | None:
        head, _, body = self.sent.partition(b"\r\n\r\n")
        first, *headers = self.received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, target, *_ = [*head.decode("latin-1").partition("\r\n")[0].split(" "), "", ""]
        named = dict(line.lower().split(": ", 1) for line in headers if ": " in line)
        status = first.split(" ")[1:2]
        split = urlsplit(target)
        served = (method, status) in (("GET", ["101"]), ("POST", ["200"]))
        if not served or not split.path.endswith(("/listen", "/transcriptions")):
            return None
        query = {name: values[-1] for name, values in parse_qs(split.query).items()}
        raw_ms = None
        if method == "GET" and query.get("encoding") == "linear16":
            raw_ms = sum(map(len, _binary(bytes(body)))) * 1000 / (2 * int(query["sample_rate"]))
        return Sent(split.path, named["dg-request-id"], raw_ms)


def _binary(data: bytes) -> Iterator[bytes]:
    """The payloads of the binary messages among a client's frames, still masked (RFC 6455, 5.2)."""
    kind = 0
    while len(data) >= 6:
        opcode, size, at = data[0] & 0x0F, data[1] & 0x7F, 2
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at])
        kind = opcode if opcode in (TEXT, BINARY) else kind
        if kind == BINARY and opcode in (0, BINARY):
            yield data[at + 4 : at + 4 + size]
        data = data[at + 4 + size :]


class Tap:
    """Listens on a port of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: list[_Connection] = []
        self._ways: set[asyncio.Task[None]] = set()
        self.url = ""

    def requests(self) -> list[Sent]:
        """The requests with audio that went through, in the order in which their connections were opened."""
        return [found for connection in self._connections if (found := connection.request()) is not None]

    async def open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def close(self) -> None:
        await cancel(*self._ways)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._carry(reader, writer), name="tap")
        self._ways.add(task)
        task.add_done_callback(self._ways.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection()
        self._connections.append(connection)
        behind = None
        try:
            behind_reader, behind = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, behind, connection.sent))
                both.create_task(_copy(behind_reader, writer, connection.received))
        except (OSError, ExceptionGroup):
            pass  # either side left
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, into: bytearray) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        into += chunk
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@asynccontextmanager
async def tap(target: int) -> AsyncIterator[Tap]:
    """A tap before the port `target` of this machine."""
    found = Tap(target)
    server = await found.open()
    try:
        yield found
    finally:
        server.close()
        await found.close()
