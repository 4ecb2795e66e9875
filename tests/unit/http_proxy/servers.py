"""Servers for tests: raw ones that play any fault byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from aldea.tasks import cancel, spawn

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(play: Play) -> AsyncIterator[int]:
    """A server on loopback that runs `play` for each connection; yields its port. Its connections end with it."""
    running: list[asyncio.Task[None]] = []

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.append(spawn(guarded(reader, writer), name="raw-server"))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await cancel(*running)
        await asyncio.sleep(0)


@contextmanager
def deaf_server() -> Iterator[int]:
    """A port on loopback whose SYNs are not acknowledged: its queue of connections is full, and nobody accepts any."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listening.getsockname()
        # Linux drops a SYN while the queue holds more than the backlog (listen(2)); these are several times as many.
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes what comes, and never says anything."""
    await reader.read()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A request's head, up to its empty line."""
    return await reader.readuntil(b"\r\n\r\n")


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request's head, and its body of fixed or chunked length."""
    head = await read_head(reader)
    lowered = head.lower()
    if b"content-length:" in lowered:
        length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        return head, await reader.readexactly(length)
    body = b""
    if b"chunked" not in lowered:
        return head, body
    while size := int((await reader.readline()).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return head, body


def response(body: bytes, *, status: str = "200 OK", headers: bytes = b"") -> bytes:
    """A response of fixed length."""
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
        % (status.encode(), len(body), headers)
        + body
    )
