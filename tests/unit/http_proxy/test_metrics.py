import json
from collections.abc import Callable

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from aldea.metrics import EmfEmitter
from http_proxy import metrics
from http_proxy.metrics import Totals


def test_every_metric_of_the_proxy_is_registered_under_the_platforms_prefix() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert metrics.IN_FLIGHT._name in names
    assert {"aldea_http_requests", "aldea_http_audio_seconds", "aldea_http_callbacks", "aldea_http_unmetered"} <= names
    assert {"aldea_http_request_seconds", "aldea_http_bytes_in", "aldea_http_bytes_out"} <= names


def counted() -> tuple[Totals, CollectorRegistry]:
    totals, registry = Totals(), CollectorRegistry()
    registry.register(totals)
    totals.count(200, seconds=0.01, bytes_in=5, bytes_out=7, audio_ms=1500)
    totals.count(200, seconds=0.2, bytes_in=5, bytes_out=7, audio_ms=500)
    totals.count(503, seconds=9999, bytes_in=1, bytes_out=0, audio_ms=0)
    return totals, registry


def test_ended_requests_are_shown_as_counters_and_a_histogram() -> None:
    shown = generate_latest(counted()[1]).decode().splitlines()
    for line in (
        'aldea_http_requests_total{status="200"} 2.0',
        'aldea_http_requests_total{status="503"} 1.0',
        "aldea_http_bytes_in_total 11.0",
        "aldea_http_bytes_out_total 14.0",
        "aldea_http_audio_seconds_total 2.0",
        'aldea_http_request_seconds_bucket{le="0.01"} 1.0',
        'aldea_http_request_seconds_bucket{le="0.5"} 2.0',
        'aldea_http_request_seconds_bucket{le="3600.0"} 2.0',
        'aldea_http_request_seconds_bucket{le="+Inf"} 3.0',
        "aldea_http_request_seconds_count 3.0",
        "aldea_http_request_seconds_sum 9999.21",
    ):
        assert line in shown


def test_ended_requests_reach_cloudwatch_as_differences() -> None:
    totals, registry = counted()
    emitter = EmfEmitter("http-proxy", "test")
    emitter.documents(registry.collect(), 1)
    totals.count(200, seconds=1, bytes_in=3, bytes_out=2, audio_ms=1000)
    [document] = emitter.documents(registry.collect(), 2)
    found = json.loads(document)
    assert found["aldea_http_requests_total"] == 1
    assert found["aldea_http_request_seconds_count"] == 1
    assert found["aldea_http_bytes_in_total"] == 3


def test_a_traced_request_is_its_buckets_exemplar() -> None:
    totals, registry = counted()
    totals.count(200, seconds=0.3, bytes_in=0, bytes_out=0, audio_ms=0, exemplar={"trace_id": "4bf92f35"})
    shown: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
    [bucket] = [
        line
        for line in shown(registry).decode().splitlines()
        if line.startswith("aldea_http_request_seconds_bucket") and "#" in line
    ]
    assert bucket.startswith('aldea_http_request_seconds_bucket{le="0.5"} 3.0 # {trace_id="4bf92f35"} 0.3 ')
