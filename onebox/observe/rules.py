"""Prometheus' recording and alert rules: the objectives' error budgets, and what else wakes somebody. No I/O."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aldea.objectives import BURNS, OBJECTIVES, Burn, Objective

RUNBOOK: Final = "docs/operations.md#alarms"
# Of each objective the part of its events that was bad, over each window of the burn rates, and over those of a report.
WINDOWS: Final = (*sorted({window for burn in BURNS for window in (burn.long, burn.short)}), "3d")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `for_`: it has to last so long; `wakes`: it wakes somebody; `alarm`: as operations.md calls it."""

    name: str
    expression: str
    for_: str
    wakes: bool
    summary: str
    alarm: str


ALERTS: Final = (
    Alert(
        "AldeaServiceDown", 'up{job=~"aldea.*"} == 0', "3m", True,
        "{{ $labels.service }} ({{ $labels.instance }}) does not respond to Prometheus", "SERVICE-unhealthy",
    ),
    Alert(
        "AldeaCircuitOpen", "max by (server, lane) (aldea_upstream_circuit_open) > 0", "3m", True,
        "The STT server {{ $labels.server }} fails; its circuit is open", "SERVICE-circuit",
    ),
    Alert(
        "AldeaPlacesShort",
        "sum by (lane) (aldea_upstream_places_used) > 0.9 * sum by (lane) (aldea_upstream_places) > 0", "10m", False,
        "Nine tenths of the places of lane {{ $labels.lane }}'s STT servers are taken", "SERVICE-circuit",
    ),
    Alert(
        "AldeaLateWords",
        "histogram_quantile(0.5, sum by (lane, le) (rate(aldea_ws_first_words_seconds_bucket[5m]))) > 10", "1m", True,
        "Half of the streams of lane {{ $labels.lane }} wait long for their first words", "SERVICE-late-words",
    ),
    Alert(
        "AldeaReadingsDropped", "sum by (service, kind) (increase(aldea_readings_dropped_total[5m])) > 0", "0m", True,
        "{{ $labels.service }} gave usage readings up ({{ $labels.kind }}): no room for more, or Redis refused them",
        "SERVICE-readings-dropped",
    ),
    Alert(
        "AldeaRedisUnavailable", "min by (service, instance) (aldea_redis_available) < 1", "1m", True,
        "{{ $labels.service }} ({{ $labels.instance }}) does not reach Redis", "SERVICE-5xx",
    ),
    Alert(
        "AldeaUsageAge", "max(aldea_usage_stream_oldest_seconds) > 300", "5m", True,
        "Usage readings wait in Redis", "SERVICE-usage-age",
    ),
    Alert(
        "AldeaUsageQueueAge", "max(aldea_usage_queue_oldest_seconds) > 300", "5m", True,
        "Usage readings wait in SQS", "usage-queue-age",
    ),
    Alert(
        "AldeaUsageHalted", "max(aldea_usage_halted) > 0", "5m", True,
        "The usage worker has stopped: one batch after another failed", "sqs-updater-halted",
    ),
    Alert(
        "AldeaDeadLetters", "max(aldea_usage_dead_letters) > 0", "1m", False,
        "The dead-letter queue holds usage readings", "usage-dlq",
    ),
    Alert(
        "AldeaFailoversFailed", "sum by (lane, reason) (increase(aldea_ws_failovers_failed_total[5m])) > 0", "0m",
        False,
        "Running streams of lane {{ $labels.lane }} were lost: {{ $labels.reason }}", "SERVICE-circuit",
    ),
)  # fmt: skip


def errors(objective: Objective, window: str) -> str:
    """PromQL: the part of the objective's events of a window that was bad."""
    name = objective.metric
    if objective.bad is not None:
        label, begin = objective.bad
        # Nothing bad has no series: that is 0 and not unknown.
        bad = f'(sum(rate({name}{{{label}=~"{begin}.*"}}[{window}])) or vector(0))'
        return f"{bad} / sum(rate({name}[{window}]))"
    bound = float(objective.seconds or 0)
    return f'1 - sum(rate({name}_bucket{{le="{bound}"}}[{window}])) / sum(rate({name}_count[{window}]))'


def recorded(window: str) -> str:
    """The name of the series that `errors` of this window is recorded as."""
    return f"aldea:objective_errors:ratio_rate{window}"


def burning(objective: Objective, burn: Burn) -> str:
    """PromQL: whether the objective's budget burns so fast, by both windows."""
    limit = f"{burn.rate:g} * {round(objective.budget, 6):g}"
    windows = [f'{recorded(window)}{{objective="{objective.name}"}} > {limit}' for window in (burn.long, burn.short)]
    return " and ".join(windows)


def alerts() -> Sequence[Alert]:
    """All alerts: of the budgets, and the others."""
    return [
        *(
            Alert(
                f"AldeaBudget{burn.name.title()}{''.join(part.title() for part in objective.name.split('_'))}",
                burning(objective, burn),
                "2m" if burn.wakes else "15m",
                burn.wakes,
                f"{objective.title}: the month's error budget burns {burn.rate:g} times too fast ({objective.promise})",
                objective.where,
            )
            for objective in OBJECTIVES
            for burn in BURNS
        ),
        *ALERTS,
    ]


def text() -> str:
    """The rules as Prometheus reads them (YAML)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Written by `make observability` from services/aldea/objectives.py and onebox/observe/rules.py."
    yield "groups:"
    yield "  - name: aldea-objectives"
    yield "    interval: 30s"
    yield "    rules:"
    for objective in OBJECTIVES:
        for window in WINDOWS:
            yield f"      - record: {recorded(window)}"
            yield f"        expr: {_quoted(errors(objective, window))}"
            yield f"        labels: {{objective: {objective.name}}}"
        yield "      - record: aldea:objective:target"
        yield f"        expr: vector({objective.target:g})"
        yield f"        labels: {{objective: {objective.name}}}"
    yield "  - name: aldea-alerts"
    yield "    rules:"
    for alert in alerts():
        yield f"      - alert: {alert.name}"
        yield f"        expr: {_quoted(alert.expression)}"
        yield f"        for: {alert.for_}"
        yield f"        labels: {{severity: {'wake' if alert.wakes else 'morning'}}}"
        yield "        annotations:"
        yield f"          summary: {_quoted(alert.summary)}"
        yield f"          runbook: {_quoted(f'{RUNBOOK} ({alert.alarm})')}"


def _quoted(text: str) -> str:
    """A YAML scalar: JSON's strings are some."""
    return json.dumps(text)
