import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from aldea import metrics
from aldea.metrics import EMF_MAX_METRICS, EMF_MAX_VALUES, EmfEmitter, emit_values, exposition_app
from aldea.tasks import cancel, spawn


def values(emitter: EmfEmitter, registry: CollectorRegistry) -> dict[str, Any]:
    (line,) = emitter.documents(registry.collect(), now_ms=1)
    found: dict[str, Any] = json.loads(line)
    return found


async def test_the_registry_is_served_as_text() -> None:
    async with TestClient(TestServer(exposition_app())) as client:
        response = await client.get("/metrics")
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain")
        assert "aldea_event_loop_lag_seconds" in await response.text()
        for path in ("/metrics", "/nothing"):
            assert (await client.get(path)).headers["Server"] == "aldea"


def test_a_document_declares_every_value_it_carries() -> None:
    registry = CollectorRegistry()
    Gauge("aldea_streams", "", registry=registry).set(3)
    document = values(EmfEmitter("ws_proxy", "prod"), registry)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive == {"Namespace": "Aldea", "Dimensions": [["ServiceName"]], "Metrics": [{"Name": "aldea_streams"}]}
    assert document["_aws"]["Timestamp"] == 1
    assert (document["ServiceName"], document["Environment"]) == ("ws_proxy", "prod")
    assert document["aldea_streams"] == 3


def test_counters_and_histograms_are_sent_as_what_was_added_since_the_last_document() -> None:
    registry = CollectorRegistry()
    counter = Counter("aldea_refusals", "", ["reason"], registry=registry)
    histogram = Histogram("aldea_redis_seconds", "", registry=registry)
    emitter = EmfEmitter("ws_proxy", "prod")
    counter.labels("rate").inc(2)
    counter.labels("quota").inc()
    histogram.observe(0.5)
    first = values(emitter, registry)
    assert (first["aldea_refusals_total"], first["aldea_redis_seconds_count"]) == (3, 1)
    assert first["aldea_redis_seconds_sum"] == 0.5
    counter.labels("rate").inc()
    second = values(emitter, registry)
    assert (second["aldea_refusals_total"], second["aldea_redis_seconds_count"]) == (1, 0)
    assert not [name for name in first if name.endswith(("_bucket", "_created"))]


def test_a_histogram_with_percentiles_sends_its_values_as_their_buckets_bounds() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("aldea_words_seconds", "", ["lane"], buckets=(1, 2, 4), registry=registry)
    emit_values(histogram)
    emitter = EmfEmitter("ws_proxy", "prod")
    assert "aldea_words_seconds" not in values(emitter, registry)  # nothing came: no value, not one of 0
    for lane, value in (("a", 0.5), ("a", 3), ("b", 2), ("b", 99)):
        histogram.labels(lane).observe(value)
    first = values(emitter, registry)
    assert first["aldea_words_seconds"] == [1, 2, 4, 4]
    assert first["aldea_words_seconds_count"] == 4
    assert {"Name": "aldea_words_seconds"} in first["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    histogram.labels("a").observe(2)
    assert values(emitter, registry)["aldea_words_seconds"] == [2]


def test_of_more_values_than_cloudwatch_takes_an_even_choice_is_sent() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("aldea_many_seconds", "", buckets=(1, 2, 4), registry=registry)
    emit_values(histogram)
    for number in range(1000):
        histogram.observe(1 if number % 10 else 4)
    sent = values(EmfEmitter("ws_proxy", "prod"), registry)["aldea_many_seconds"]
    assert len(sent) == EMF_MAX_VALUES
    assert (sent.count(1), sent.count(4)) == (90, 10)


def test_what_each_label_added_is_beside_the_sum_and_is_no_metric_of_its_own() -> None:
    registry = CollectorRegistry()
    closes = Counter("aldea_closes", "", ["side", "code"], registry=registry)
    Gauge("aldea_circuit_open", "", ["server"], registry=registry).labels("stt:8800").set(1)
    emitter = EmfEmitter("ws_proxy", "prod")
    closes.labels("client", "1000").inc(2)
    closes.labels("client", "1011").inc()
    first = values(emitter, registry)
    assert first["aldea_closes_total"] == 3
    assert first['aldea_closes_total{code="1000",side="client"}'] == 2
    assert first['aldea_closes_total{code="1011",side="client"}'] == 1
    assert first['aldea_circuit_open{server="stt:8800"}'] == 1
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert [metric["Name"] for metric in directive["Metrics"]] == ["aldea_circuit_open", "aldea_closes_total"]
    closes.labels("client", "1011").inc()
    second = values(emitter, registry)
    assert second['aldea_closes_total{code="1011",side="client"}'] == 1
    assert 'aldea_closes_total{code="1000",side="client"}' not in second


def test_a_labelled_counter_that_never_counted_is_zero_and_not_missing() -> None:
    registry = CollectorRegistry()
    Counter("aldea_refusals", "", ["reason"], registry=registry)
    assert values(EmfEmitter("ws_proxy", "prod"), registry)["aldea_refusals_total"] == 0


def test_a_value_that_json_cannot_hold_is_left_out() -> None:
    registry = CollectorRegistry()
    Gauge("aldea_odd", "", registry=registry).set(float("nan"))
    assert values(EmfEmitter("ws_proxy", "prod"), registry)["aldea_odd"] == 0


def test_foreign_metrics_are_not_sent() -> None:
    registry = CollectorRegistry()
    Gauge("python_info", "", registry=registry).set(1)
    assert EmfEmitter("ws_proxy", "prod").documents(registry.collect(), 1) == []


def test_more_metrics_than_one_document_may_hold_make_several() -> None:
    registry = CollectorRegistry()
    for number in range(EMF_MAX_METRICS + 1):
        Gauge(f"aldea_g{number}", "", registry=registry).set(number)
    lines = EmfEmitter("ws_proxy", "prod").documents(registry.collect(), 1)
    sizes = [len(json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for line in lines]
    assert sizes == [EMF_MAX_METRICS, 1]


async def test_what_was_counted_last_is_written_when_the_process_stops(capsys: pytest.CaptureFixture[str]) -> None:
    task = spawn(metrics.emit_emf("ws_proxy", "prod"), name="emf")
    await asyncio.sleep(0)
    await cancel(task)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any("aldea_event_loop_lag_seconds_count" in document for document in documents)


async def test_the_loops_lag_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LAG_SAMPLE_SECONDS", 0.001)

    def samples() -> float:
        return next(s.value for m in metrics.EVENT_LOOP_LAG.collect() for s in m.samples if s.name.endswith("_count"))

    before = samples()
    task = spawn(metrics.watch_loop_lag(), name="lag")
    async with asyncio.timeout(60):
        while samples() < before + 3:
            await asyncio.sleep(0.001)
    await cancel(task)


def test_of_each_objective_its_events_and_the_bad_ones_are_sent() -> None:
    registry = CollectorRegistry()
    handshakes = Counter("aldea_ws_handshakes_total", "", ["status"], registry=registry)
    words = Histogram("aldea_ws_first_words_seconds", "", ["lane"], buckets=(1, 4, 10), registry=registry)
    emitter = EmfEmitter("ws_proxy", "prod")
    nothing = values(emitter, registry)
    assert (nothing["aldea_objective_handshakes_events_total"], nothing["aldea_objective_first_words_bad_total"]) == (
        0,
        0,
    )
    for status, count in (("101", 90), ("429", 5), ("503", 5)):
        handshakes.labels(status).inc(count)
    for lane, seconds in (("a", 0.5), ("b", 4.0), ("b", 4.1), ("a", 99)):
        words.labels(lane).observe(seconds)
    first = values(emitter, registry)
    assert (first["aldea_objective_handshakes_events_total"], first["aldea_objective_handshakes_bad_total"]) == (100, 5)
    assert (first["aldea_objective_first_words_events_total"], first["aldea_objective_first_words_bad_total"]) == (4, 2)
    words.labels("a").observe(5)
    second = values(emitter, registry)
    assert (second["aldea_objective_first_words_events_total"], second["aldea_objective_first_words_bad_total"]) == (
        1,
        1,
    )
    assert second["aldea_objective_handshakes_events_total"] == 0


async def test_who_accepts_openmetrics_gets_exemplars() -> None:
    lag = Histogram("aldea_exemplar_test_seconds", "")
    try:
        lag.observe(0.3, {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
        async with TestClient(TestServer(exposition_app())) as client:
            # As Prometheus requests it.
            accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
            response = await client.get("/metrics", headers={"Accept": accept})
            text = await response.text()
            assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
            found = [each.exemplar for each in families["aldea_exemplar_test_seconds"].samples if each.exemplar]
            assert [each.labels["trace_id"] for each in found] == ["4bf92f3577b34da6a3ce929d0e0e4736"]
            for other in ("text/plain", "application/openmetrics-text-not;version=x", ";;,,", "*/*"):
                response = await client.get("/metrics", headers={"Accept": other})
                assert response.headers["Content-Type"].startswith("text/plain")
                assert "# {" not in await response.text()
    finally:
        REGISTRY.unregister(lag)
