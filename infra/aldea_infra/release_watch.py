"""What CloudWatch says of a service while its new version is watched. No pulumi."""

import time
from typing import Any, Final

import botocore.session
from botocore.config import Config

from aldea_infra.config.parse import StackConfig

# The window of a percentile: short enough to be of the new version, long enough for some requests.
WINDOW_SECONDS: Final = 300


class CloudWatch:
    """Alarms and response times of one stack's services."""

    def __init__(self, config: StackConfig, clients: dict[str, Any] | None = None) -> None:
        """`clients`: of botocore, by service name; made here unless a test brings its own."""
        self._cluster = config.stack.cluster
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
        now = time.time()
        response = self._clients["cloudwatch"].get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName="TargetResponseTime",
            Dimensions=[
                {"Name": "TargetGroup", "Value": group.rpartition(":")[2]},
                {"Name": "LoadBalancer", "Value": found["LoadBalancerArns"][0].partition(":loadbalancer/")[2]},
            ],
            StartTime=now - WINDOW_SECONDS,
            EndTime=now,
            Period=WINDOW_SECONDS,
            ExtendedStatistics=["p99"],
        )
        values = [point["ExtendedStatistics"]["p99"] for point in response["Datapoints"]]
        return max(values) if values else None
