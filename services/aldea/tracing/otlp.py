"""Spans by OpenTelemetry's SDK, exported by OTLP over HTTP. Only a process that exports imports this.

The SDK reads its own variables (OTEL_EXPORTER_OTLP_…, OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_RESOURCE_ATTRIBUTES). Ended
spans wait in a bounded queue for a thread that sends them: nothing here ever waits for the endpoint.
"""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

import structlog
from opentelemetry.context import Context as Ambient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from prometheus_client import Counter

from aldea.tracing import spans
from aldea.tracing.context import Context, read_context
from aldea.tracing.spans import Attributes, Kind

log = structlog.get_logger("aldea.tracing")

# Encoding a span takes some 30 µs of the interpreter: a batch of this many holds the event loop up by less than 2 ms.
BATCH_SPANS: Final = 64
# Of one batch of readings so many traces get a span; the SDK's own bound of a span's links is the same.
MAX_READINGS: Final = 128
# An endpoint that takes nothing is reported this often.
COMPLAIN_SECONDS: Final = 60.0

SPANS: Final = Counter(
    "aldea_trace_spans_total", "Spans by what became of them; ended ones that are neither were dropped", ["outcome"]
)
_ENDED: Final = SPANS.labels("ended")
_EXPORTED: Final = SPANS.labels("exported")
_FAILED: Final = SPANS.labels("failed")
_KINDS: Final = {kind: SpanKind(kind.value) for kind in Kind}
# Nothing of what runs around a call is its parent: that is said each time.
_EMPTY: Final = Ambient()


def start(service: str, environment: str, exporter: SpanExporter | None = None) -> "OtlpRecorder":
    """Record the spans of this process from now on. `exporter`: in place of the one that the environment names."""
    # Its own words about each failed attempt, with a traceback; the exporter below counts, and says it once in a while.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    recorder = OtlpRecorder(service, environment, exporter or OTLPSpanExporter())
    spans.record_by(recorder)
    return recorder


class OtlpRecorder:
    """A `spans.Recorder`."""

    def __init__(self, service: str, environment: str, exporter: SpanExporter) -> None:
        attributes = {"deployment.environment.name": environment}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            attributes["service.name"] = service
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        most = int(os.environ.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or BATCH_SPANS)
        self._provider.add_span_processor(_Processor(_Exporter(exporter), max_export_batch_size=most))
        self._tracer = self._provider.get_tracer("aldea")

    def request(self, name: str, parent: Context | None, attributes: Attributes) -> tuple[Context, spans.Span | None]:
        """See `spans.Recorder`."""
        ambient = _EMPTY if parent is None else set_span_in_context(NonRecordingSpan(_remote(parent)), _EMPTY)
        span = self._tracer.start_span(name, ambient, SpanKind.SERVER, attributes)
        if not span.is_recording():
            return _context(span), None
        made = _Span(self._tracer, span)
        return made.context, made

    def batch(
        self, name: str, kind: Kind, attributes: Attributes, traceparents: list[str]
    ) -> AbstractContextManager[object]:
        """See `spans.Recorder`."""
        read = [read_context([traceparent]) for traceparent in traceparents[:MAX_READINGS]]
        return spans.Traced(_BatchSpan(self._tracer, name, kind, attributes, [_remote(each) for each in read if each]))

    def close(self) -> None:
        """See `spans.Recorder`."""
        self._provider.shutdown()


class _Span:
    """A `spans.Span`."""

    __slots__ = ("_ambient", "_context", "_ended", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: SdkSpan) -> None:
        self._tracer = tracer
        self._span = span
        self._ambient: Ambient | None = None
        self._context: Context | None = None
        self._ended = False

    @property
    def context(self) -> Context:
        """What the next hop is to continue."""
        if self._context is None:
            self._context = _context(self._span)
        return self._context

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> "_Span":
        """See `spans.Span`."""
        if self._ambient is None:
            self._ambient = set_span_in_context(self._span, _EMPTY)
        began = time.time_ns() - round(seconds_ago * 1e9) if seconds_ago else None
        return _Span(
            self._tracer, self._tracer.start_span(name, self._ambient, _KINDS[kind], attributes, start_time=began)
        )

    def note(self, attributes: Attributes) -> None:
        """See `spans.Span`."""
        self._span.set_attributes(attributes)

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """See `spans.Span`."""
        if self._ended:
            return
        self._ended = True
        _finish(self._span, attributes, error)


class _BatchSpan:
    """A `spans.Span` of its own trace, with a link to each request's; at its end each of these gets a span, too."""

    def __init__(
        self, tracer: Tracer, name: str, kind: Kind, attributes: Attributes, requests: Sequence[SpanContext]
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = _KINDS[kind]
        self._attributes = attributes
        self._requests = requests
        self._began = time.time_ns()
        links = [Link(request) for request in requests]
        self._span = tracer.start_span(name, _EMPTY, self._kind, attributes, links, self._began)

    @property
    def context(self) -> Context:
        """See `spans.Span`."""
        return _context(self._span)

    def child(self, name: str, kind: Kind, attributes: Attributes, *, seconds_ago: float = 0.0) -> "_Span":
        """See `spans.Span`."""
        return _Span(self._tracer, self._span).child(name, kind, attributes, seconds_ago=seconds_ago)

    def note(self, attributes: Attributes) -> None:
        """See `spans.Span`."""
        self._span.set_attributes(attributes)

    def end(self, attributes: Attributes | None = None, *, error: str | None = None) -> None:
        """See `spans.Span`."""
        links = [Link(self._span.get_span_context())] if self._span.is_recording() else []
        _finish(self._span, attributes, error)
        for request in self._requests:
            ambient = set_span_in_context(NonRecordingSpan(request), _EMPTY)
            _finish(
                self._tracer.start_span(self._name, ambient, self._kind, self._attributes, links, self._began),
                attributes,
                error,
            )


def _finish(span: SdkSpan, attributes: Attributes | None, error: str | None) -> None:
    if attributes:
        span.set_attributes(attributes)
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _remote(context: Context) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([context.state]) if context.state else None
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags, state)


def _context(span: SdkSpan) -> Context:
    found = span.get_span_context()
    state = found.trace_state.to_header() if found.trace_state else ""
    return Context(f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled, state)


class _Processor(BatchSpanProcessor):
    """Counts what it is given."""

    def on_end(self, span: ReadableSpan) -> None:
        _ENDED.inc()
        super().on_end(span)


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
