"""Trace: one request's place in its trace, and the traces of the requests that run in this process."""

from weakref import WeakValueDictionary

from aldea.tracing.context import Context


class Trace:
    """One request's. `reading`: what its usage readings carry, "" of a trace that nobody records."""

    __slots__ = ("__weakref__", "context", "reading")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.reading = context.traceparent if context.sampled else ""

    @property
    def trace_id(self) -> str:
        """Its trace's id, 32 hex digits."""
        return self.context.trace_id

    def headers(self) -> dict[str, str]:
        """What passes it on to the next hop."""
        return self.context.headers()


# By request id, for log lines; an entry goes with the last that holds its trace.
RUNNING: "WeakValueDictionary[str, Trace]" = WeakValueDictionary()
