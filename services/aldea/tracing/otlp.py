"""Spans by OpenTelemetry's SDK, exported by OTLP over HTTP. Only a process that exports imports this.

The SDK reads its own variables (OTEL_EXPORTER_OTLP_…, OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_RESOURCE_ATTRIBUTES). Ended
spans wait in a bounded queue for a thread that sends them: nothing here ever waits for the endpoint.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from random import getrandbits
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from prometheus_client import Counter

from aldea.tracing import spans
from aldea.tracing.context import Context, read_context
from aldea.tracing.spans import Attributes, Kind

log = structlog.get_logger("aldea.tracing")

# A request to the endpoint takes some 2 ms of the interpreter, and each span in it 25 µs.
BATCH_SPANS: Final = 256
# The event loop waits at most so long for the interpreter while a batch is encoded; Python's own 5 ms would be felt.
SWITCH_SECONDS: Final = 0.001
# Of one batch of readings so many traces get a span; the SDK's own bound of a span's links is the same.
MAX_READINGS: Final = 128
# Another one is whatever a client made up; conventions of HTTP spans, http.request.method.
METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
# An endpoint that takes nothing is reported this often.
COMPLAIN_SECONDS: Final = 60.0

SPANS: Final = Counter(
    "aldea_trace_spans_total", "Spans by what became of them; ended ones that are neither were dropped", ["outcome"]
)
_ENDED: Final = SPANS.labels("ended")
_EXPORTED: Final = SPANS.labels("exported")
_FAILED: Final = SPANS.labels("failed")
_KINDS: Final = {kind: SpanKind(kind.value) for kind in Kind}
_SCOPE: Final = InstrumentationScope("aldea")
_RECORDED, _NOT_RECORDED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


def start(service: str, environment: str, exporter: SpanExporter | None = None) -> "OtlpRecorder":
    """Record the spans of this process from now on. `exporter`: in place of the one that the environment names."""
    # Its own words about each failed attempt, with a traceback; the exporter below counts, and says it once in a while.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    sys.setswitchinterval(SWITCH_SECONDS)
    recorder = OtlpRecorder(service, environment, exporter or OTLPSpanExporter())
    spans.record_by(recorder)
    return recorder


class OtlpRecorder:
    """A `spans.Recorder`.

    The SDK's resource, processor and exporter, without its Tracer: that makes a span of a dozen objects, and decides
    for each whether it is sampled. Here a request that is not sampled makes none, and one that is makes each when it
    has ended, at a fifth of the cost.
    """

    def __init__(self, service: str, environment: str, exporter: SpanExporter) -> None:
        attributes = {"deployment.environment.name": environment}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes["service.name"] = service
        self.resource = _Resource(Resource.create(attributes))
        self._samples = _sampler(os.environ)
        most = int(os.environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or BATCH_SPANS)
        self._processor = BatchSpanProcessor(_Exporter(exporter), max_export_batch_size=most)

    def request(
        self, method: str, route: str, request_id: str, parent: Context | None
    ) -> tuple[Context, spans.Span | None]:
        """See `spans.Recorder`."""
        trace_id = getrandbits(128) if parent is None else int(parent.trace_id, 16)
        if not self._samples(trace_id, parent):
            state = "" if parent is None else parent.state
            return Context(f"{trace_id:032x}", f"{_new_span_id():016x}", sampled=False, state=state), None
        remote = None if parent is None else _remote(parent)
        named = f"{method if method in METHODS else 'HTTP'} {route}".rstrip()
        attributes = {
            "http.request.method": method if method in METHODS else "_OTHER",
            **({"http.route": route} if route else {}),
            "aldea.request_id": request_id,
        }
        span = _Span(self, named, SpanKind.SERVER, attributes, _own(trace_id, remote), remote)
        return span.context, span

    def batch(
        self, name: str, kind: Kind, attributes: Attributes, traceparents: list[str]
    ) -> AbstractContextManager[object]:
        """See `spans.Recorder`."""
        read = [read_context([traceparent]) for traceparent in traceparents[:MAX_READINGS]]
        requests = [_remote(each) for each in read if each is not None]
        trace_id = getrandbits(128)
        own = _own(trace_id) if self._samples(trace_id, None) else None
        return spans.Traced(_BatchSpan(self, name, _KINDS[kind], attributes, own, requests))

    def ended(self, span: ReadableSpan) -> None:
        """Hand a span to the thread that exports."""
        _ENDED.inc()
        self._processor.on_end(span)

    def close(self) -> None:
        """See `spans.Recorder`."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def _sampler(environment: Mapping[str, str]) -> Callable[[int, Context | None], bool]:
    """Whether a request is recorded, by its trace's id and its caller's context, as the standard variables say.

    The rules and the ratio's arithmetic are the SDK's (its TraceIdRatioBased looks at the id's lower 64 bits).
    """
    name = environment.get("OTEL_TRACES_SAMPLER") or "parentbased_always_on"
    by_parent, root = name.startswith("parentbased_"), name.removeprefix("parentbased_")
    share = {"always_on": 1.0, "always_off": 0.0}.get(root)
    if share is None:
        share = float(environment.get("OTEL_TRACES_SAMPLER_ARG") or 1)
    bound = TraceIdRatioBased.get_bound_for_rate(share)

    def samples(trace_id: int, parent: Context | None) -> bool:
        if by_parent and parent is not None:
            return parent.sampled
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < bound

    return samples


class _Resource(Resource):
    """The exporter looks a span's resource up in a mapping; the SDK's own is written as JSON for each hash."""

    def __init__(self, found: Resource) -> None:
        super().__init__(found.attributes, found.schema_url)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class _Begun:
    """A span that has begun: what `_Span` and `_BatchSpan` keep until their end."""

    __slots__ = ("_attributes", "_began", "_kind", "_name", "_recorder")

    def __init__(
        self, recorder: OtlpRecorder, name: str, kind: SpanKind, attributes: Attributes, seconds_ago: float = 0.0
    ) -> None:
        self._recorder = recorder
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._began = time.time_ns() - round(seconds_ago * 1e9)

    def note(self, attributes: Attributes) -> None:
        """See `spans.Span`."""
        self._attributes = {**self._attributes, **attributes}

    def _end(self, own: SpanContext, parent: SpanContext | None, error: str | None, links: Sequence[Link] = ()) -> None:
        """It ends now, in this place of this trace."""
        self._recorder.ended(
            ReadableSpan(
                self._name,
                own,
                parent,
                self._recorder.resource,
                self._attributes if error is None else {**self._attributes, "error.type": error},
                kind=self._kind,
                links=links,
                status=_UNSET if error is None else _ERROR,
                start_time=self._began,
                end_time=time.time_ns(),
                instrumentation_scope=_SCOPE,
            )
        )


class _Span(_Begun):
    """A `spans.Span`."""

    __slots__ = ("_ended", "_own", "_parent")

    def __init__(
        self,
        recorder: OtlpRecorder,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        own: SpanContext,
        parent: SpanContext | None,
        seconds_ago: float = 0.0,
    ) -> None:
        super().__init__(recorder, name, kind, attributes, seconds_ago)
        self._own = own
        self._parent = parent
        self._ended = False

    @property
    def context(self) -> Context:
        """What the next hop is to continue."""
        own = self._own
        return Context(f"{own.trace_id:032x}", f"{own.span_id:016x}", sampled=True, state=own.trace_state.to_header())

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> "_Span":
        """See `spans.Span`."""
        own = _own(self._own.trace_id, self._own)
        return _Span(self._recorder, name, _KINDS[kind], attributes, own, self._own, seconds_ago)

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """See `spans.Span`."""
        if self._ended:
            return
        self._ended = True
        if attributes:
            self.note(attributes)
        self._end(self._own, self._parent, error)


class _BatchSpan(_Begun):
    """A `spans.Span` of its own trace, with a link to each request's; at its end each of these gets a span, too.

    `own`: None if its own trace is not recorded.
    """

    __slots__ = ("_own", "_requests")

    def __init__(
        self,
        recorder: OtlpRecorder,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        own: SpanContext | None,
        requests: Sequence[SpanContext],
    ) -> None:
        super().__init__(recorder, name, kind, attributes)
        self._own = own
        self._requests = requests

    @property
    def context(self) -> Context:
        """See `spans.Span`; nothing continues a batch."""
        raise NotImplementedError

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> spans.Span:
        """See `spans.Span`; a batch has no parts."""
        raise NotImplementedError

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """See `spans.Span`."""
        if attributes:
            self.note(attributes)
        back: list[Link] = []
        if self._own is not None:
            back = [Link(self._own)]
            self._end(self._own, None, error, [Link(request) for request in self._requests])
        for request in self._requests:
            self._end(_own(request.trace_id, request), request, error, back)


def _new_span_id() -> int:
    return getrandbits(64) or 1


def _own(trace_id: int, parent: SpanContext | None = None) -> SpanContext:
    """The context of a new span that is recorded."""
    return SpanContext(trace_id, _new_span_id(), False, _RECORDED, None if parent is None else parent.trace_state)


def _remote(context: Context) -> SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    flags = _RECORDED if context.sampled else _NOT_RECORDED
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags, state)


class _Exporter(SpanExporter):
    """Counts what became of each span; its thread is the only one that waits for the endpoint."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._complained = float("-inf")
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        try:
            result = self._inner.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, these spans are lost and the next may not be
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            _EXPORTED.inc(len(spans))
            return result
        _FAILED.inc(len(spans))
        self._lost += len(spans)
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            log.warning("spans not exported: the OTLP endpoint takes none", spans=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._inner.shutdown()
