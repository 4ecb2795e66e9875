"""From a request's headers to its trace."""

from typing import Final

from aiohttp import web

from aldea.headers import request_id
from aldea.tracing.context import TRACEPARENT, TRACESTATE, Context, read_context
from aldea.tracing.spans import recorder
from aldea.tracing.trace import RUNNING, Trace

_TRACE: Final[web.RequestKey[Trace]] = web.RequestKey("trace", Trace)


def begin(request: web.BaseRequest, route: str, *, continues: bool, begins: bool = True) -> Trace | None:
    """The trace of a request that has come in; None if it has none.

    `route`: its path, without what a client chooses in it. `continues`: whether its caller's trace is continued,
    `begins`: whether one of its own begins otherwise, where spans are recorded.
    """
    context = incoming(request) if continues else None
    recording = recorder()
    if context is None and (recording is None or not begins):
        return None
    span = None
    if recording is not None:
        context, span = recording.request(request.method, route, request_id(request), context)
    if context is None:
        return None
    trace = request[_TRACE] = RUNNING[request_id(request)] = Trace(context, span)
    return trace


def trace_of(request: web.BaseRequest) -> Trace | None:
    """What `begin` returned for this request."""
    return request.get(_TRACE)


def incoming(request: web.BaseRequest) -> Context | None:
    """What the request's headers say."""
    headers = request.headers
    traceparent = headers.getall(TRACEPARENT, [])
    return read_context(traceparent, headers.getall(TRACESTATE, [])) if traceparent else None
