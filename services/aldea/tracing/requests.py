"""Spans of an application's requests, and what passes them on to another service of ours."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from aiohttp.typedefs import Handler

from aldea.tracing.incoming import begin
from aldea.tracing.spans import NOTHING, Kind, Span, traced
from aldea.tracing.trace import Trace

# The status of a request whose client left before its response (nginx's convention).
CLIENT_GONE: Final = 499
# What looks every few seconds whether a process lives.
UNTRACED: Final = frozenset({"/healthz", "/readyz"})

# Of the request that is being handled.
_CURRENT: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)


def trace_requests(app: web.Application, continues: Callable[[web.BaseRequest], bool]) -> None:
    """Record a span of each of the application's requests, around everything that its middlewares do by now.

    `continues`: whether its caller's trace is continued.
    """

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = "" if resource is None else resource.canonical
        trace = None if route in UNTRACED else begin(request, route, continues=continues(request))
        if trace is None:
            return await handler(request)
        token = _CURRENT.set(trace)
        status = CLIENT_GONE
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        except Exception:
            status = 500
            raise
        finally:
            _CURRENT.reset(token)
            trace.end(status, _of_project(request))
        return response

    app.middlewares.insert(0, record)


def _of_project(request: web.Request) -> dict[str, str]:
    """Which project it is about. What a client writes in its place is not kept, unless it is an id."""
    try:
        return {"aldea.project_id": str(UUID(request.match_info["project_id"]))}
    except (KeyError, ValueError):
        return {}


def calling(method: str, server: dict[str, Any]) -> AbstractContextManager[Span | None]:
    """Around a call that the current request makes of another service. `server`: its `server.…` attributes."""
    trace = _CURRENT.get()
    if trace is None or trace.span is None:
        return NOTHING
    return traced(trace, method, Kind.CLIENT, {"http.request.method": method, **server})


def passed_on(span: Span | None) -> dict[str, str]:
    """The headers by which a service that is called continues `calling`'s span, or a trace that is not recorded."""
    if span is not None:
        return span.context.headers()
    trace = _CURRENT.get()
    return {} if trace is None else trace.headers()
