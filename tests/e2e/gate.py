"""A way between two ports that a test can close, and that may speak TLS in front: bytes go through as they are."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aldea.tasks import cancel, spawn

CHUNK_BYTES = 64 * 1024


class Gate:
    """Listens on a port of its own. Closed, it refuses connections and cuts those that are open."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await cancel(*self._ways)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._carry(reader, writer), name="gate")
        self._ways.add(task)
        task.add_done_callback(self._ways.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = None
        try:
            behind_reader, behind = await asyncio.open_connection("127.0.0.1", self._target)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, behind))
                both.create_task(_copy(behind_reader, writer))
        except (OSError, ExceptionGroup):
            pass  # either side left
        finally:
            for end in (writer, behind):
                if end is not None:
                    end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    raise ConnectionError("one side has ended")


@asynccontextmanager
async def gate(target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Gate]:
    """An open gate before the port `target` of this machine."""
    found = Gate(target, tls)
    await found.open()
    try:
        yield found
    finally:
        await found.close()


def server_tls(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own making. Raises FileNotFoundError without openssl."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
