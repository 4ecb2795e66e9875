"""Responses too large for memory: sent piece by piece, as fast as their client reads."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from aldea.headers import request_id
from aldea.tasks import Deadline

log = structlog.get_logger("backend.download")

# A client that takes nothing for this long has left without saying so.
STALL_SECONDS: Final = 30.0
# The next piece takes a statement or two; more than this and PostgreSQL hangs.
PIECE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that is made while it is sent.

    `filename`: what a browser saves it as. The first of `pieces` may still refuse, as a handler may; an empty piece is
    the end.
    """

    filename: str
    pieces: AsyncGenerator[bytes, None]


async def send(request: web.Request, download: Download, first: bytes, media_type: str) -> web.StreamResponse:
    """Send `first` and all further pieces.

    What cannot be finished is cut off with its connection (an error raised here has that effect): no client may take
    a part for the whole.
    """
    async with aclosing(download.pieces):
        response = web.StreamResponse()
        response.content_type, response.charset = media_type, "utf-8"
        response.headers["Content-Disposition"] = f'attachment; filename="{download.filename}"'
        await response.prepare(request)
        piece = first
        while piece:
            await _write(request, response, piece)
            with Deadline(PIECE_SECONDS):
                piece = await anext(download.pieces, b"")
        await response.write_eof()
        return response


async def _write(request: web.Request, response: web.StreamResponse, piece: bytes) -> None:
    try:
        with Deadline(STALL_SECONDS):
            await response.write(piece)
    except TimeoutError:
        log.info("download stalled", request_id=request_id(request), path=request.path)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError(f"the client took nothing for {STALL_SECONDS:g} s") from None
