"""Audio from an open file or a pipe, a piece at a time, so that an interrupt is obeyed while nothing comes."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from typing import BinaryIO


async def pieces(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """What is in `file`, at most `size` bytes at a time. Raises OSError."""
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()):
        # Always ready, and not to be waited for as a pipe is. A thread that waited for a pipe could not be stopped.
        while piece := await asyncio.to_thread(file.read, size):
            yield piece
        return
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    try:
        while piece := await reader.read(size):
            yield piece
    finally:
        transport.close()
