"""Spans as the services make them. Where none are recorded, each place that makes one pays for a look at None.

Names and attributes follow OpenTelemetry's semantic conventions (https://opentelemetry.io/docs/specs/semconv/); what
only we have begins with `aldea.`. No credential, no address of a customer and no word of theirs may be in one.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from enum import Enum
from threading import Thread
from types import TracebackType
from typing import Final, Protocol, TypeAlias

from aldea.errors import ApiError
from aldea.tracing.context import Context
from aldea.tracing.trace import Trace

Attributes: TypeAlias = Mapping[str, str | int | float | bool]

# A process that stops gives its last spans so long.
CLOSE_SECONDS: Final = 2.0


class Kind(Enum):
    """OpenTelemetry's SpanKind."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class Span(Protocol):
    """A span that is recorded."""

    @property
    def context(self) -> Context:
        """What the next hop is to continue."""

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> "Span":
        """A span within this one, which began so long ago."""

    def note(self, attributes: Attributes) -> None:
        """Say more of it."""

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """It ends now. `error`: its `error.type`. Only the first call counts."""


class Recorder(Protocol):
    """What makes the spans of a process."""

    def request(self, method: str, route: str, request_id: str, parent: Context | None) -> tuple[Context, Span | None]:
        """A request has come in. Its context, sampled or not, and its span if it is."""

    def batch(
        self, name: str, kind: Kind, attributes: Attributes, traceparents: list[str]
    ) -> AbstractContextManager[object]:
        """Around work on many requests at a time; the traces of those that are recorded get a span of it each."""

    def close(self) -> None:
        """Send what waits; blocks."""


class _Nothing(AbstractContextManager[None]):
    """No span."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


NOTHING: Final = _Nothing()


class Traced(AbstractContextManager[Span]):
    """A span that ends with a block; an exception is its error, unless it is the customer's fault."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        fault = None if error is None or (isinstance(error, ApiError) and error.status < 500) else type(error).__name__
        self._span.end(error=fault)


class _Process:
    recorder: Recorder | None = None


def recorder() -> Recorder | None:
    """What records the spans of this process, if anything does."""
    return _Process.recorder


def record_by(recorder: Recorder | None) -> None:
    """Let `recorder` make the spans of this process from now on."""
    _Process.recorder = recorder


def traced(trace: Trace | None, name: str, kind: Kind, attributes: Attributes) -> "AbstractContextManager[Span | None]":
    """Around a part of a request's work."""
    if trace is None or trace.span is None:
        return NOTHING
    return Traced(trace.span.child(name, kind, attributes))


def until(trace: Trace, response: "asyncio.Future[object]", name: str, kind: Kind, attributes: Attributes) -> None:
    """From now until `response` is there."""
    if trace.span is None:
        return
    span = trace.span.child(name, kind, attributes)

    def ended(response: "asyncio.Future[object]") -> None:
        failure = asyncio.CancelledError() if response.cancelled() else response.exception()
        span.end(error=None if failure is None else type(failure).__name__)

    response.add_done_callback(ended)


def batch(name: str, kind: Kind, attributes: Attributes, traceparents: Iterable[str]) -> AbstractContextManager[object]:
    """Around work on the readings of many requests; `traceparents` of those that are recorded, "" of the others."""
    if _Process.recorder is None:
        return NOTHING
    found = [traceparent for traceparent in traceparents if traceparent]
    return _Process.recorder.batch(name, kind, attributes, found) if found else NOTHING


async def close() -> None:
    """Record nothing more and send what waits, for at most CLOSE_SECONDS."""
    closing, _Process.recorder = _Process.recorder, None
    if closing is None:
        return
    loop, sent = asyncio.get_running_loop(), asyncio.Event()

    def send() -> None:
        closing.close()
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(sent.set)

    # Not in the loop's pool, for which the process would wait to the end.
    Thread(target=send, name="close-tracing", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await sent.wait()


def redis_call(script: str) -> Attributes:
    """The attributes of a script's run in Redis."""
    return {"db.system.name": "redis", "db.stored_procedure.name": script}
