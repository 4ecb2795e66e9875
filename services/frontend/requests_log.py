"""One line of the log for each request to the console."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from aldea.headers import request_id
from aldea.log import FrequentEvent
from frontend.page_views import reader_address

# A client that left before its response (nginx's convention).
CLIENT_GONE: Final = 499

_responded: Final = FrequentEvent(
    "frontend.requests", "request", own=("request_id", "status", "duration_ms", "bytes_out")
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write the line once `handler` has responded, whatever the response. Liveness checks have none.

    The path is logged without its query, which may hold an invitation.
    """
    if request.path == "/healthz":
        return await handler(request)
    began = time.monotonic()
    status, sent = CLIENT_GONE, 0
    try:
        response = await handler(request)
        if request.transport is not None:
            status = response.status
        sent = response.body_length if response.prepared else response.content_length or 0
    finally:
        _responded.info(
            request_id=request_id(request),
            method=request.method,
            path=request.path,
            status=status,
            client=reader_address(request),
            duration_ms=round((time.monotonic() - began) * 1000),
            bytes_out=sent,
        )
    return response
