"""The servers' figures, as an autoscaler reads them."""

from prometheus_client import REGISTRY

from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from aldea.upstream.stats import Stats


def value(name: str, server: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"server": server})


def test_places_and_leaving_are_exported_for_each_server() -> None:
    upstreams = Upstreams(["http://metrics-a:8800"])
    upstreams.note_stats(upstreams.servers[0], Stats(8, 3, draining=True), 0)
    assert value("aldea_upstream_places", "metrics-a:8800") == 8
    assert value("aldea_upstream_places_used", "metrics-a:8800") == 3
    assert value("aldea_upstream_leaving", "metrics-a:8800") == 1
    assert value("aldea_upstream_circuit_open", "metrics-a:8800") == 0


def test_a_server_that_is_down_has_no_places_and_one_that_was_taken_away_is_no_alarm() -> None:
    upstreams = Upstreams(["http://metrics-b:8800"])
    (server,) = upstreams.servers
    upstreams.note_stats(server, Stats(8, 3), 0)
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(server, "refused")
    assert value("aldea_upstream_circuit_open", "metrics-b:8800") == 1
    assert value("aldea_upstream_places", "metrics-b:8800") == 0
    assert value("aldea_upstream_places_used", "metrics-b:8800") == 0
    upstreams._note_withdrawn(server, True)
    assert value("aldea_upstream_circuit_open", "metrics-b:8800") == 0
    assert value("aldea_upstream_leaving", "metrics-b:8800") == 1
