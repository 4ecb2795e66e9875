"""Alarms: the topic that people subscribe to, and the alarms of one service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from aldea_infra.components import iam
from aldea_infra.config.sections import AlarmsSection

# 5xx responses of one service in a minute, five minutes in a row, that are no longer chance.
SERVER_ERRORS: Final = 25


@dataclass(frozen=True, slots=True)
class Alarms:
    """Where alarms go."""

    topic_arn: pulumi.Output[str]


@dataclass(frozen=True, slots=True)
class Metric:
    """One CloudWatch metric and how it is read. `statistic`: such as Sum, or a percentile such as p50."""

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, pulumi.Input[str]]
    period: int = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """When a metric is alarming: above `threshold` in `periods` periods in a row."""

    threshold: float
    periods: int
    below: bool = False
    missing: str = "notBreaching"


def alarm(
    name: str, why: str, metric: Metric, limit: Limit, alarms: Alarms, parent: pulumi.Resource
) -> aws.cloudwatch.MetricAlarm:
    """An alarm; `why` says what it means, docs/operations.md under its name what to do.

    On a percentile it waits for enough values ("Percentile-based alarms and low data samples", CloudWatch user guide).
    """
    percentile = metric.statistic if metric.statistic.startswith("p") else None
    return aws.cloudwatch.MetricAlarm(
        name,
        alarm_description=why,
        namespace=metric.namespace,
        metric_name=metric.name,
        statistic=None if percentile else metric.statistic,
        extended_statistic=percentile,
        evaluate_low_sample_count_percentiles="ignore" if percentile else None,
        dimensions=dict(metric.dimensions),
        period=metric.period,
        evaluation_periods=limit.periods,
        threshold=limit.threshold,
        comparison_operator="LessThanThreshold" if limit.below else "GreaterThanThreshold",
        treat_missing_data=limit.missing,
        alarm_actions=[alarms.topic_arn],
        ok_actions=[alarms.topic_arn],
        opts=pulumi.ResourceOptions(parent=parent),
    )


def service_alarms(
    name: str,
    alarms: Alarms | None,
    group: aws.lb.TargetGroup | None,
    balancer_suffix: pulumi.Input[str] | None,
    parent: pulumi.Resource,
) -> list[aws.cloudwatch.MetricAlarm]:
    """The alarms of one service behind the load balancer; returns those that roll a deployment back.

    Server errors alone do: a new service has no healthy task at first, and the circuit breaker watches health itself.
    """
    if alarms is None or group is None or balancer_suffix is None:
        return []
    dimensions = {"TargetGroup": group.arn_suffix, "LoadBalancer": balancer_suffix}
    errors = alarm(
        f"{name}-5xx",
        f"{name} responds with server errors",
        Metric("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", dimensions),
        Limit(SERVER_ERRORS, periods=5),
        alarms,
        parent,
    )
    # Weighted target groups do not fail over: a lane without a healthy task loses its share of the traffic.
    alarm(
        f"{name}-no-healthy-task",
        f"{name} has no healthy task; set its lane's weight to 0",
        Metric("AWS/ApplicationELB", "HealthyHostCount", "Minimum", dimensions),
        Limit(1, periods=3, below=True, missing="breaching"),
        alarms,
        parent,
    )
    alarm(
        f"{name}-unhealthy",
        f"{name} has tasks that fail their health check",
        Metric("AWS/ApplicationELB", "UnHealthyHostCount", "Maximum", dimensions),
        Limit(0, periods=10),
        alarms,
        parent,
    )
    return [errors]


class AlarmTopic(pulumi.ComponentResource):
    """An encrypted SNS topic. CloudWatch may not use AWS's own SNS key, so the topic has a key of its own."""

    def __init__(
        self, name: str, args: AlarmsSection, account_id: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:observability:AlarmTopic", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        cloudwatch = {"Service": "cloudwatch.amazonaws.com"}
        ours = {"StringEquals": {"aws:SourceAccount": account_id}}
        # In a key's policy "*" is this key.
        key = aws.kms.Key(
            "alarms",
            description="Alarm notifications",
            enable_key_rotation=True,
            deletion_window_in_days=7,
            policy=iam.document(
                iam.Statement(["kms:*"], ["*"], principals={"AWS": f"arn:aws:iam::{account_id}:root"}, sid="Owner"),
                iam.Statement(["kms:Decrypt", "kms:GenerateDataKey"], ["*"], principals=cloudwatch, conditions=ours),
            ),
            opts=child,
        )
        topic = aws.sns.Topic("alarms", kms_master_key_id=key.arn, opts=child)
        aws.sns.TopicPolicy(
            "alarms",
            arn=topic.arn,
            policy=iam.document(iam.Statement(["sns:Publish"], [topic.arn], principals=cloudwatch, conditions=ours)),
            opts=child,
        )
        if args.email is not None:
            aws.sns.TopicSubscription("alarms", topic=topic.arn, protocol="email", endpoint=args.email, opts=child)
        self.alarms = Alarms(topic.arn)
        self.register_outputs({"topicArn": topic.arn})
