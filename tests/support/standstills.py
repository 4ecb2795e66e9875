"""A process that stood still, staged inside a test: its event loop does nothing while time passes."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aldea.standstill import Heart

# A deadline that a busy machine keeps, and a standstill that is longer.
DEADLINE, STANDSTILL = 2.0, 2.5


@contextmanager
def alive() -> Iterator[None]:
    """The test's event loop notes when it stood still, as a service's does."""
    heart = Heart(asyncio.get_running_loop())
    try:
        yield
    finally:
        heart.stop()


def stand_still() -> None:
    """Nothing runs for STANDSTILL: what was sent to this process waits in its sockets, its deadlines pass."""
    time.sleep(STANDSTILL)


async def sent_meanwhile(host: str, port: int, path: str) -> bytes:
    """The status of a POST whose body comes while this process stands still."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        with alive():
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
            writer.write(head.encode())
            async with asyncio.timeout(60):
                assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # its handler waits for the body
                writer.write(b"1234567890")
                stand_still()
                return (await reader.readline()).split()[1]
    finally:
        writer.close()
