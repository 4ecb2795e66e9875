"""The SDK's spans, with an exporter that keeps them; its own endpoint is tests/e2e/test_traces.py's."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from opentelemetry.context import Context as Ambient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from aldea.tracing import otlp, spans
from aldea.tracing.context import Context
from aldea.tracing.incoming import begin
from aldea.tracing.spans import Kind
from tests.unit.aldea.tracing.test_context import GOOD, SPAN, TRACE

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


class Kept(SpanExporter):
    """Keeps what it is given, or fails."""

    def __init__(self, failure: Exception | SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.spans: list[ReadableSpan] = []
        self._failure = failure

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        if isinstance(self._failure, Exception):
            raise self._failure
        return self._failure

    def named(self, name: str) -> Any:
        [found] = [span for span in self.spans if span.name == name]
        return found


Start = Callable[..., tuple[otlp.OtlpRecorder, Kept]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(spans._Process, "recorder", None)
    started: list[otlp.OtlpRecorder] = []
    interval = sys.getswitchinterval()

    def begin_recording(
        kept: Kept | None = None, sampler: str = "parentbased_always_on", share: str = "1"
    ) -> tuple[otlp.OtlpRecorder, Kept]:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
        kept = kept or Kept()
        started.append(otlp.start("a-service", "dev", kept))
        return started[-1], kept

    yield begin_recording
    sys.setswitchinterval(interval)
    for recorder in started:
        recorder.close()


def test_a_requests_spans_are_one_tree_with_the_callers_as_its_root(start: Start) -> None:
    recorder, kept = start()
    context, span = recorder.request("GET", "/v1/listen", "an-id", Context(TRACE, SPAN, sampled=True, state="a=1"))
    assert span is not None
    assert (context.trace_id, context.sampled, context.state) == (TRACE, True, "a=1")
    assert context.span_id != SPAN
    child = span.child("admit", Kind.CLIENT, {"db.system.name": "redis"})
    child.note({"n": 1})
    child.end(error="TimeoutError")
    span.child("first words", Kind.INTERNAL, {}, seconds_ago=1000.0).end()
    span.end({"http.response.status_code": 101})
    span.end({"http.response.status_code": 500})
    recorder.close()
    root, admit, words = kept.named("GET /v1/listen"), kept.named("admit"), kept.named("first words")
    assert f"{root.parent.span_id:016x}" == SPAN
    assert f"{root.context.span_id:016x}" == context.span_id
    assert {each.parent.span_id for each in (admit, words)} == {root.context.span_id}
    assert dict(root.attributes) == {
        "http.request.method": "GET",
        "http.route": "/v1/listen",
        "aldea.request_id": "an-id",
        "http.response.status_code": 101,
    }
    assert dict(admit.attributes) == {"db.system.name": "redis", "n": 1, "error.type": "TimeoutError"}
    assert not admit.status.is_ok
    assert 990 < (words.end_time - words.start_time) / 1e9 < 1010
    resource = root.resource.attributes
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("a-service", "dev")


def test_the_standard_variables_decide_which_traces_are_recorded(start: Start) -> None:
    recorder, kept = start(sampler="parentbased_traceidratio", share="0")
    context, span = recorder.request("GET", "/", "", None)
    assert (span, context.sampled) == (None, False)
    assert len(context.trace_id) == 32
    # Their caller decides for the others, also that they are not.
    assert recorder.request("GET", "/", "", Context(TRACE, SPAN, sampled=True))[1] is not None
    assert start()[0].request("GET", "/", "", Context(TRACE, SPAN, sampled=False))[1] is None
    recorder.close()
    assert kept.spans == []


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("", ""), ("always_on", ""), ("always_off", ""), ("traceidratio", "0.3"), ("traceidratio", ""),
        ("parentbased_always_on", "0"), ("parentbased_always_off", "1"), ("parentbased_traceidratio", "0.3"),
    ],
)  # fmt: skip
def test_a_trace_is_recorded_where_the_sdks_sampler_would_record_it(
    monkeypatch: pytest.MonkeyPatch, name: str, share: str
) -> None:
    for variable, value in (("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", share)):
        monkeypatch.delenv(variable, raising=False)
        if value:
            monkeypatch.setenv(variable, value)
    samples, reference = otlp._sampler(os.environ), TracerProvider(shutdown_on_exit=False).sampler
    numbers = random.Random(1)
    for _ in range(300):
        trace_id = numbers.getrandbits(128)
        for parent in (None, *(Context(f"{trace_id:032x}", SPAN, sampled=sampled) for sampled in (True, False))):
            ambient = None if parent is None else set_span_in_context(NonRecordingSpan(otlp._remote(parent)), Ambient())
            expected = (
                reference.should_sample(ambient or Ambient(), trace_id, "GET /").decision is Decision.RECORD_AND_SAMPLE
            )
            assert samples(trace_id, parent) is expected


def test_a_request_without_a_trace_begins_one_where_it_may(start: Start) -> None:
    start()
    begun = begin(make_mocked_request("GET", "/"), "/", continues=False)
    assert begun is not None
    assert begun.span is not None
    assert begun.reading == begun.context.traceparent
    assert begin(make_mocked_request("GET", "/stats"), "/stats", continues=True, begins=False) is None
    stranger = begin(make_mocked_request("GET", "/", {"traceparent": GOOD}), "/", continues=False)
    assert stranger is not None
    assert stranger.trace_id != TRACE


def test_a_batch_of_readings_is_linked_with_each_trace_that_it_is_about(start: Start) -> None:
    recorder, kept = start()
    others = [f"00-{n:032x}-{SPAN}-01" for n in range(1, 200)]
    with recorder.batch("merge", Kind.CONSUMER, {"a": "b"}, others):
        pass
    recorder.close()
    linked = [span for span in kept.spans if span.parent is not None]
    [whole] = [span for span in kept.spans if span.parent is None]
    assert len(linked) == len(whole.links) == otlp.MAX_READINGS
    assert {span.context.trace_id for span in linked} == {link.context.trace_id for link in whole.links}
    assert {span.links[0].context.span_id for span in linked} == {whole.context.span_id}
    assert {f"{span.parent.span_id:016x}" for span in linked if span.parent} == {SPAN}


@pytest.mark.parametrize("failure", [SpanExportResult.FAILURE, OSError("unreachable")])
def test_an_endpoint_that_takes_nothing_costs_its_spans_and_one_line(
    start: Start, failure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = otlp._FAILED._value.get()
    exporter = otlp._Exporter(Kept(failure))
    recorder, kept = start()
    _, span = recorder.request("GET", "/", "", None)
    assert span is not None
    span.end()
    recorder.close()
    [ended] = kept.spans
    for _ in range(3):
        assert exporter.export([ended, ended]) is SpanExportResult.FAILURE
    assert otlp._FAILED._value.get() == failed + 6
    assert capsys.readouterr().out.count("spans not exported") == 1


def test_a_process_that_does_not_export_imports_nothing_of_it() -> None:
    script = (
        "import json, sys, ws_proxy.app, http_proxy.app, backend.app, sqs_updater.app, frontend.app, stt_api.app;"
        "print(json.dumps([n for n in sys.modules if n.split('.')[0] in ('opentelemetry', 'requests')]))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
