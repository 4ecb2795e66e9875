"""The public status page, without signing in, and its JSON."""

from typing import Final

from aiohttp import web

from aldea.errors import ServiceUnavailable
from aldea.headers import request_id
from frontend.rendering import render
from frontend.status_feed import FRESH_SECONDS, STATUS_FEED
from frontend.status_view import day_rows, headline

# The page differs by its reader's theme, so only their own browser may keep it; the JSON is everybody's.
_OWN: Final = {"Cache-Control": f"private, max-age={FRESH_SECONDS:.0f}"}
_SHARED: Final = {"Cache-Control": f"public, max-age={FRESH_SECONDS:.0f}"}


async def show(request: web.Request) -> web.Response:
    """How the platform is and was; as it was last while the Platform API does not respond, which is said then."""
    seen = await request.app[STATUS_FEED].seen()
    current = seen is not None and seen.current
    response = render(
        request,
        "status.html",
        status=200 if seen is not None else 503,
        utc=True,
        seen=None if seen is None else seen.status,
        current=current,
        headline=headline(seen.status if seen is not None and seen.current else None),
        rows=[] if seen is None else day_rows(seen.status),
    )
    response.headers.update(_OWN if current else {"Retry-After": "5"})
    return response


async def show_json(request: web.Request) -> web.Response:
    """The same for programs, as the Platform API gives it at /v1/status."""
    seen = await request.app[STATUS_FEED].seen()
    if seen is None or not seen.current:
        error = ServiceUnavailable("The status cannot be read right now. Try again in a few seconds.")
        body = {"err_code": error.err_code, "err_msg": error.message, "request_id": request_id(request)}
        return web.json_response(body, status=503, headers={"Retry-After": "5"})
    return web.json_response(seen.raw, headers=_SHARED)


ROUTES: Final = (web.get("/status", show), web.get("/status.json", show_json))
