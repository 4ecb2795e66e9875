"""Checks that what fails is noticed, and that nobody is woken for nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from aldea_infra.checks import reachability
from aldea_infra.components import metric_names
from aldea_infra.offline.graph import Graph

# What no service of ours can report, by the alarm's name: its namespace, its metric, whether little of it is bad.
WATCHED: Final = {
    "balancer-errors": ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", False),
    "usage-queue-age": ("AWS/SQS", "ApproximateAgeOfOldestMessage", False),
    "usage-dlq": ("AWS/SQS", "ApproximateNumberOfMessagesVisible", False),
    "database-storage": ("AWS/RDS", "FreeStorageSpace", True),
    "database-cpu": ("AWS/RDS", "CPUUtilization", False),
    r"redis-\d-memory": ("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", False),
}
# RDS adds storage when less than this share of it is free (RDS user guide, "storage autoscaling").
GROWS_BELOW: Final = 0.1


def metrics_exist(graph: Graph) -> Iterator[str]:
    """An alarm on a metric that nobody emits is silent for ever."""
    reporters = {reachability.environment(container).get("SERVICE_NAME") for _, container in graph.containers()}
    for each in graph.of("MetricAlarm"):
        queries = each.inputs.get("metricQueries")
        # A formula's metrics, or its one.
        read = [query["metric"] for query in queries if query.get("metric")] if queries else [each.inputs]
        for metric in read:
            if metric["namespace"] != metric_names.NAMESPACE:
                continue
            if metric["metricName"] not in metric_names.ALL:
                yield f"{each.name} watches {metric['metricName']}, which is not in metric_names"
            if metric["dimensions"]["ServiceName"] not in reporters:
                yield f"{each.name} watches a service that reports under no such name"


def what_fails_is_watched(graph: Graph) -> Iterator[str]:
    """What no service of ours can report: the load balancer's own errors, a full disk, a full or lonely Redis."""
    if not graph.of("aws:sns/topic:Topic"):
        return  # a stack without alarms
    for name, (namespace, metric, below) in WATCHED.items():
        alarms = [each for each in graph.of("MetricAlarm") if re.fullmatch(name, each.name)]
        if not alarms:
            yield f"no alarm is named {name}"
        for each in alarms:
            given = each.inputs
            compares = "LessThanThreshold" if below else "GreaterThanThreshold"
            if (given["namespace"], given["metricName"]) != (namespace, metric):
                yield f"{each.name} watches {given['namespace']} {given['metricName']}, not {metric}"
            if given["comparisonOperator"] != compares or not given.get("alarmActions"):
                yield f"{each.name} compares by {given['comparisonOperator']} and notifies {given.get('alarmActions')}"
            if not _belongs(graph, given["dimensions"]):
                yield f"{each.name} watches {given['dimensions']}, which nothing here is"
    for each in graph.of("MetricAlarm"):
        if each.name == "database-storage":
            gigabytes = graph.one("aws:rds/instance:Instance").inputs["allocatedStorage"]
            if not 0 < each.inputs["threshold"] < gigabytes * 1e9 * GROWS_BELOW:
                yield f"{each.name} notifies at {each.inputs['threshold']:g} bytes, where RDS adds storage by itself"


def _belongs(graph: Graph, dimensions: Mapping[str, str]) -> bool:
    """Whether every dimension is an identifier of a resource of this graph."""
    known = {str(value) for each in graph.resources for value in each.outputs.values() if isinstance(value, str)}
    return all(value in known or value.rpartition("-")[0] in known for value in dimensions.values())


def alarms_can_be_quiet(graph: Graph) -> Iterator[str]:
    """An alarm that looks more often than its metric comes is never quiet, and is soon ignored."""
    pauses = {
        reachability.environment(container)["SERVICE_NAME"]: int(container["command"][-1])
        for _, container in graph.containers()
        if "aldea.canary" in container.get("command", [])
    }
    for each in graph.of("MetricAlarm"):
        pause = pauses.get(str(each.inputs.get("dimensions", {}).get("ServiceName")), 0)
        if each.inputs["treatMissingData"] == "breaching" and each.inputs["period"] <= pause:
            yield f"{each.name} looks every {each.inputs['period']} s for what comes every {pause} s at most"


CHECKS: Final = (metrics_exist, what_fails_is_watched, alarms_can_be_quiet)
