"""Traces of a stack: who is given a collector's address, and may reach it."""

from typing import Any

import pytest

from aldea_infra.catalogue import TRACED
from aldea_infra.checks import reachability, run
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph
from tests.infra.contracts import CONTRACTS
from tests.infra.test_mail import given, values

ENDPOINT = "http://otlp.example.com:4318"
LINK = "https://traces.example.com/trace/{trace_id}"
GIVEN = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.25",
}


@pytest.fixture(scope="module")
def traced() -> Graph:
    sections: dict[str, Any] = {"traces": {"endpoint": ENDPOINT, "share": 0.25}, "console": {"traceUrl": LINK}}
    return mock_run.run("dev", values=values(**sections))


def collectors(graph: Graph) -> set[str]:
    return {
        each.source for each in reachability.matrix(graph) if each.target == reachability.INTERNET and each.port == 4318
    }


def test_those_whose_work_is_recorded_are_given_the_collector_and_reach_its_port(traced: Graph) -> None:
    roles = {str(role) for role in TRACED}
    for name, text in GIVEN.items():
        assert given(traced, name) == dict.fromkeys(roles, text)
    assert collectors(traced) == roles
    assert given(traced, "TRACE_URL") == {"frontend": LINK}
    assert run.run(traced, CONTRACTS) == []


def test_without_a_collector_nobody_is_given_one(traced: Graph) -> None:
    silent = mock_run.run("dev", values=values())
    assert [given(silent, name) for name in (*GIVEN, "TRACE_URL")] == [{}] * 4
    assert collectors(silent) == set()
