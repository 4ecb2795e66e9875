"""Alarms on the error budgets of what customers are promised, from the one table of the objectives.

`objectives.json` is written by `make observability` from services/aldea/objectives.py, as Prometheus' rules are: this
program imports no service. The services send each objective's events and bad ones (aldea.metrics), summed here over all
services that have them, so that one lane with little traffic counts for little.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import Role
from aldea_infra.components import metric_names as ours
from aldea_infra.components.alarms import Alarms
from aldea_infra.components.naming import Names
from aldea_infra.config.parse import StackConfig

# An alarm has one period, so the two windows of a burn rate become datapoints: so many of the long window's twelve must
# burn, which is not chance, and the alarm ends when the short ones no longer do.
DATAPOINTS: Final = 12
BURNING: Final = 3
# Fewer events than this in a period say nothing about a share of them.
LEAST_EVENTS: Final = 20
# A formula of an alarm reads ten metrics ("Using metric math", CloudWatch user guide), two of each service.
MOST_SERVICES: Final = 5


@dataclass(frozen=True, slots=True)
class Budget:
    """One objective at one burn rate: bad when more than `share` of all events are. `period` in seconds."""

    name: str
    why: str
    metric: str
    role: Role
    share: float
    period: int


def budgets() -> list[Budget]:
    """All that the table has."""
    table = json.loads(Path(__file__).with_suffix(".json").read_text())
    return [
        Budget(
            f"budget-{objective['name'].replace('_', '-')}-{burn['name']}",
            f"{objective['title']}: the month's error budget burns {burn['rate']:g} times too fast "
            f"({objective['promise']})",
            objective["metric"],
            Role.SQS_UPDATER if objective["name"] == "usage_lag" else Role.WS_PROXY,
            round(burn["rate"] * objective["budget"], 6),
            burn["short_seconds"],
        )
        for objective in table["objectives"]
        for burn in table["burns"]
    ]


def budget_alarms(config: StackConfig, names: Names, alarms: Alarms, parent: pulumi.Resource) -> None:
    """An alarm for each of them; of more services than one formula takes, one for each few."""
    for budget in budgets():
        every = [names.prefixed(service) for service in config.of_role(budget.role)]
        for first in range(0, len(every), MOST_SERVICES):
            _alarm(budget, every[first : first + MOST_SERVICES], first // MOST_SERVICES, alarms, parent)


def _alarm(budget: Budget, services: Sequence[str], number: int, alarms: Alarms, parent: pulumi.Resource) -> None:
    aws.cloudwatch.MetricAlarm(
        f"{budget.name}-{number + 1}" if number else budget.name,
        alarm_description=budget.why,
        metric_queries=_queries(budget, services),
        comparison_operator="GreaterThanThreshold",
        threshold=budget.share,
        evaluation_periods=DATAPOINTS,
        datapoints_to_alarm=BURNING,
        treat_missing_data="notBreaching",
        alarm_actions=[alarms.topic_arn],
        ok_actions=[alarms.topic_arn],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _queries(budget: Budget, services: Sequence[str]) -> list[aws.cloudwatch.MetricAlarmMetricQueryArgs]:
    sums = {
        f"{kind}{number}": (f"{budget.metric}_{kind}_total", service)
        for kind in ("events", "bad")
        for number, service in enumerate(services)
    }
    events, bad = ("+".join(f"FILL({name},0)" for name in sums if name.startswith(kind)) for kind in ("events", "bad"))
    share = f"IF(({events})>={LEAST_EVENTS},({bad})/({events}),0)"
    query, metric_of = aws.cloudwatch.MetricAlarmMetricQueryArgs, aws.cloudwatch.MetricAlarmMetricQueryMetricArgs
    read = [
        query(
            id=name,
            metric=metric_of(
                namespace=ours.NAMESPACE,
                metric_name=metric,
                period=budget.period,
                stat="Sum",
                dimensions={"ServiceName": service},
            ),
        )
        for name, (metric, service) in sums.items()
    ]
    return [*read, query(id="share", expression=share, label="bad share", return_data=True)]
