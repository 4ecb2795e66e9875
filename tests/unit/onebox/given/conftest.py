"""Servers that are not what a URL says they are."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing

import pytest

from onebox.ports import free_port


@asynccontextmanager
async def _serving(response: bytes | None) -> AsyncIterator[int]:
    """A server on a free port that sends `response` to whatever comes first, or nothing ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read(1)
            if response is None:
                await reader.read()
            else:
                writer.write(response)
                await writer.drain()

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        yield port


@pytest.fixture
async def web_port() -> AsyncIterator[int]:
    """The port of a web server that knows nothing."""
    async with _serving(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n") as port:
        yield port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are made, and nobody reads them."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """A port where nothing listens."""
    return free_port()
