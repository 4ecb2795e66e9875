"""The span of a request to an STT server."""

from contextlib import AbstractContextManager

from aldea.tracing.spans import Kind, Span, traced
from aldea.tracing.trace import Trace
from aldea.upstream.server import Upstream


def server_attributes(server: Upstream) -> dict[str, str | int]:
    """Which server a request is sent to."""
    return {"server.address": server.base_url.host or "", "server.port": server.base_url.port or 0}


def to_server(trace: Trace | None, method: str, path: str, server: Upstream) -> AbstractContextManager[Span | None]:
    """Around the time until a server has responded. `path`: one of the API's own; the server continues this span."""
    if trace is None or trace.span is None:
        return traced(None, "", Kind.CLIENT, {})
    attributes = {"http.request.method": method, "url.template": path, **server_attributes(server)}
    return traced(trace, f"{method} {path}", Kind.CLIENT, attributes)
