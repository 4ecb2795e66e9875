"""What CloudWatch says of a service while its new version is watched. No pulumi."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.session
from botocore.config import Config

from aldea_infra.components import metric_names as ours
from aldea_infra.components.naming import Names
from aldea_infra.config.parse import StackConfig

# So few streams say nothing about a lane, nor does CloudWatch give their median an alarm.
ENOUGH_STREAMS: Final = 20
# Whole minutes are CloudWatch's periods.
MINUTE: Final = 60


@dataclass(frozen=True, slots=True)
class Words:
    """How the streams of a service got their first words. `half`, `most`: within so many seconds half of them, 90 %."""

    streams: int  # that got words, or waited for them in vain
    half: float | None
    most: float | None
    without: float  # the share that had none 15 s after its first audio


class CloudWatch:
    """Alarms, response times and words of one stack's services, over the last `seconds`."""

    def __init__(self, config: StackConfig, seconds: float, clients: dict[str, Any] | None = None) -> None:
        """`clients`: of botocore, by service name; made here unless a test brings its own."""
        self._cluster, self._names = config.stack.cluster, Names.of(config)
        self._window = max(MINUTE, round(seconds / MINUTE) * MINUTE)
        settings = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5})
        session = botocore.session.get_session()
        self._clients = clients or {
            name: session.create_client(name, region_name=config.stack.region, config=settings)
            for name in ("cloudwatch", "ecs", "elbv2")
        }

    def alarms(self, service: str) -> list[str]:
        """The service's alarms that are in alarm: their names begin with the service's."""
        found = self._clients["cloudwatch"].describe_alarms(AlarmNamePrefix=f"{service}-", StateValue="ALARM")
        return [alarm["AlarmName"] for alarm in found["MetricAlarms"]]

    def slowest(self, service: str) -> float | None:
        """The 99th percentile of its response time behind the load balancer, seconds; None without traffic."""
        (described,) = self._clients["ecs"].describe_services(cluster=self._cluster, services=[service])["services"]
        group = described["loadBalancers"][0]["targetGroupArn"]
        (found,) = self._clients["elbv2"].describe_target_groups(TargetGroupArns=[group])["TargetGroups"]
        dimensions = {
            "TargetGroup": group.rpartition(":")[2],
            "LoadBalancer": found["LoadBalancerArns"][0].partition(":loadbalancer/")[2],
        }
        return self._percentiles("AWS/ApplicationELB", "TargetResponseTime", dimensions, "p99").get("p99")

    def words(self, service: str) -> Words | None:
        """How its streams got their first words; None if too few had audio to say."""
        own = {"ServiceName": self._names.prefixed(service)}
        spoken, wordless = (self._sum(name, own) for name in (ours.FIRST_WORDS_COUNT, ours.WORDLESS))
        streams = round(spoken + wordless)
        if streams < ENOUGH_STREAMS:
            return None
        found = self._percentiles(ours.NAMESPACE, ours.FIRST_WORDS, own, "p50", "p90")
        return Words(streams, found.get("p50"), found.get("p90"), wordless / streams)

    def _sum(self, name: str, dimensions: Mapping[str, str]) -> float:
        points = self._points(ours.NAMESPACE, name, dimensions, Statistics=["Sum"])
        return sum(float(point["Sum"]) for point in points)

    def _percentiles(self, namespace: str, name: str, dimensions: Mapping[str, str], *wanted: str) -> dict[str, float]:
        points = self._points(namespace, name, dimensions, ExtendedStatistics=list(wanted))
        # One point, unless CloudWatch divides the window otherwise: then the worst of them.
        return {each: max(point["ExtendedStatistics"][each] for point in points) for each in wanted if points}

    def _points(self, namespace: str, name: str, dimensions: Mapping[str, str], **statistics: list[str]) -> Any:
        end = int(time.time()) // MINUTE * MINUTE
        response = self._clients["cloudwatch"].get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=end - self._window,
            EndTime=end,
            Period=self._window,
            **statistics,
        )
        return response["Datapoints"]
