"""Trace: one request's place in its trace, and the traces of the requests that run in this process."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from aldea.tracing.context import Context

if TYPE_CHECKING:
    from aldea.tracing.spans import Span


class Trace:
    """One request's. `span`: around all of it, None if it is not recorded here.

    `reading`: what its usage readings carry, "" of a trace that nobody records. `exemplar`: what marks a measurement of
    it in a histogram, likewise None.
    """

    __slots__ = ("__weakref__", "context", "exemplar", "reading", "span")

    def __init__(self, context: Context, span: "Span | None" = None) -> None:
        self.context = context
        self.span = span
        self.reading = ""
        self.exemplar: dict[str, str] | None = None
        if context.sampled:
            self.reading = context.traceparent
            self.exemplar = {"trace_id": context.trace_id}

    @property
    def trace_id(self) -> str:
        """Its trace's id, 32 hex digits."""
        return self.context.trace_id

    def headers(self) -> dict[str, str]:
        """What passes it on to the next hop."""
        return self.context.headers()

    def end(self, status: int, attributes: Mapping[str, Any] | None = None) -> None:
        """The request has ended, with this HTTP status. Only the first call counts."""
        if self.span is not None:
            attributes = {"http.response.status_code": status, **(attributes or {})}
            self.span.end(attributes, error=str(status) if status >= 500 else None)


# By request id, for log lines; an entry goes with the last that holds its trace.
RUNNING: "WeakValueDictionary[str, Trace]" = WeakValueDictionary()
