"""Every metric and label in the rules and dashboards exists in the registries of the services."""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from aldea.objectives import OBJECTIVES
from onebox.observe.dashboards import DASHBOARDS
from onebox.observe.rules import WINDOWS, alerts, errors, recorded

SERVICES = Path(__file__).resolve().parents[4] / "services"
# What Prometheus itself adds, and what the targets carry.
OF_TARGETS = {"job", "instance", "service", "lane", "le"}
# The rules' own series.
RECORDED = {*(recorded(window) for window in WINDOWS), "aldea:objective:target"}
_NAMES = re.compile(r"\b(?:aldea|process)[a-z0-9_:]*[a-z0-9]\b")
_SELECTORS = re.compile(r"\b((?:aldea|process)[a-z0-9_:]*)\{([^}]*)\}")
_GROUPED = re.compile(r"by \(([^)]*)\)")
SUFFIXES = {
    "gauge": ("",),
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
    "unknown": ("",),
}


@cache
def series() -> dict[str, set[str]]:
    """The labels of each series that a service serves, by its name."""
    for path in sorted(SERVICES.rglob("*.py")):
        if "prometheus_client" in path.read_text() and "canary" not in path.parts and "migrations" not in path.parts:
            importlib.import_module(
                ".".join(path.relative_to(SERVICES).with_suffix("").parts).removesuffix(".__init__")
            )
    found: dict[str, set[str]] = {}
    for family in REGISTRY.collect():
        collector: Any = REGISTRY._names_to_collectors.get(family.name)
        labels = set(getattr(collector, "_labelnames", ()) or ())
        labels |= {label for sample in family.samples for label in sample.labels}
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    # Collected anew at each scrape: without a request they have no sample, so no label.
    found["aldea_http_requests_total"] = {"status"}
    return found


def expressions_of_alerts() -> Iterator[tuple[str, str]]:
    for alert in alerts():
        yield alert.name, alert.expression
    for objective in OBJECTIVES:
        yield objective.name, errors(objective, "5m")


def expressions() -> Iterator[tuple[str, str]]:
    yield from expressions_of_alerts()
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            if not panel.sql:
                for query in panel.queries.values():
                    yield f"{dashboard.uid}: {panel.title}", query


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_reads_what_the_services_serve(where: str, expression: str) -> None:
    plain = re.sub(r'"[^"]*"', '""', expression)
    names = set(_NAMES.findall(plain))
    assert names or plain.startswith("up"), f"{where} reads nothing"
    assert names <= series().keys() | RECORDED, f"{where}: {sorted(names - series().keys() - RECORDED)}"
    for name, selector in _SELECTORS.findall(plain):
        used = {part.split("=")[0].rstrip("!").strip() for part in selector.split(",") if part.strip()}
        allowed = {"objective"} if name in RECORDED else series()[name] | OF_TARGETS
        assert used <= allowed, f"{where}: {name} has no {sorted(used - allowed)}"
    known = set().union(*(series().get(name, {"objective"}) for name in names)) | OF_TARGETS
    for group in _GROUPED.findall(plain):
        assert {label.strip() for label in group.split(",")} <= known, f"{where}: by ({group})"
    assert plain.count("(") == plain.count(")")
    assert plain.count("{") == plain.count("}")


def test_an_objectives_limit_is_a_bound_of_its_buckets() -> None:
    series()
    for objective in OBJECTIVES:
        if objective.seconds is not None:
            assert objective.seconds in REGISTRY._names_to_collectors[objective.metric]._upper_bounds  # type: ignore[attr-defined]


# What a service counts by a label, and where in its code: the values that are written there.
_COUNTED = {
    "aldea_readings_dropped_total": (
        r'(?:READINGS_DROPPED\.labels|_dropped)\("([^"]+)"\)',
        "aldea/admission/outbox.py",
    ),
    "aldea_ws_failovers_failed_total": (r'FAILED_FAILOVERS\.labels\("([^"]+)"\)', "ws_proxy/**/*.py"),
}
_EVENTS = re.compile(r"(?:increase|rate)\((\w+_total)\b")
# Every status below it is no event that an alert looks for.
_SERVER_ERRORS = {"500", "502", "503", "504"}


def test_a_counter_that_an_alert_reads_shows_0_before_its_first_event() -> None:
    """Prometheus sees no increase in a series that begins with its first event."""
    read = {name for _, expression in expressions_of_alerts() for name in _EVENTS.findall(expression)}
    labelled = {name for name in read if series()[name] - {"service"}}
    assert labelled == _COUNTED.keys() | {"aldea_ws_handshakes_total"}
    assert shown("aldea_ws_handshakes_total") >= _SERVER_ERRORS
    for name, (pattern, files) in _COUNTED.items():
        texts = [path.read_text() for path in SERVICES.glob(files)]
        written = {value for text in texts for value in re.findall(pattern, text)}
        assert written
        assert written <= shown(name), f"{name}: {sorted(written - shown(name))}"


@cache
def shown(name: str) -> set[str]:
    """The label's values that a new process of the service shows."""
    code = (
        "import aldea.admission.outbox, ws_proxy.metrics; from prometheus_client import REGISTRY\n"
        "for family in REGISTRY.collect():\n"
        "    for sample in family.samples: print(sample.name, *sample.labels.values(), sep=chr(9))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    return {row[1] for row in rows if row[0] == name and len(row) > 1}
