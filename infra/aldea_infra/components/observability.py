"""The alarms of what all services share, and one dashboard over everything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import Role
from aldea_infra.components import metric_names as ours
from aldea_infra.components.alarms import SERVER_ERRORS, Alarms, Limit, Metric, alarm
from aldea_infra.components.naming import Names
from aldea_infra.components.objectives import budget_alarms
from aldea_infra.config.parse import StackConfig
from aldea_infra.config.sections import DatabaseSection, RedisSection

# A reading older than this is late: the publisher or the worker has stopped.
LATE_SECONDS: Final = 300
# The share of PostgreSQL's storage below which RDS has failed to add more.
STORAGE_LEFT: Final = 0.05
# How long a run of the canary may take, besides the pause before it.
CANARY_RUN_SECONDS: Final = 60
WIDGET_WIDTH: Final = 12
WIDGET_HEIGHT: Final = 6


@dataclass(frozen=True, slots=True)
class ObservabilityArgs:
    """What there is to watch."""

    config: StackConfig
    names: Names
    alarms: Alarms | None
    balancer_suffix: pulumi.Output[str]
    group_suffixes: Mapping[str, pulumi.Output[str]]  # by service name
    queue_name: pulumi.Output[str]
    dead_letters_name: pulumi.Output[str]
    acl_name: pulumi.Output[str] | None
    canaries: Sequence[str]  # those that run: one without its key yet would only raise its alarm

    def queue_names(self) -> list[pulumi.Output[str]]:
        """Both queues."""
        return [self.queue_name, self.dead_letters_name]


@dataclass(frozen=True, slots=True)
class Watch:
    """One alarm to be; `why` says what it means."""

    name: str
    why: str
    metric: Metric
    limit: Limit


class Observability(pulumi.ComponentResource):
    """Alarms on the queues, the stores, the lanes' STT servers and the WAF; the dashboard."""

    def __init__(self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("aldea:observability:Observability", name, None, opts)
        if args.alarms is not None:
            for watch in _watched(args):
                alarm(watch.name, watch.why, watch.metric, watch.limit, args.alarms, self)
            budget_alarms(args.config, args.names, args.alarms, self)
        dashboard = aws.cloudwatch.Dashboard(
            "dashboard",
            dashboard_name=args.names.cluster,
            dashboard_body=pulumi.Output.json_dumps({"widgets": _widgets(args)}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"dashboard": dashboard.dashboard_name})


def _watched(args: ObservabilityArgs) -> Iterator[Watch]:
    """The alarms on what all services share."""
    config = args.config
    queue, dead = {"QueueName": args.queue_name}, {"QueueName": args.dead_letters_name}
    yield Watch(
        "usage-queue-age",
        "Usage readings wait: sqs-updater does not keep up, or PostgreSQL is unavailable",
        Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", queue),
        Limit(LATE_SECONDS, periods=5),
    )
    yield Watch(
        "usage-dlq",
        "The dead-letter queue holds usage readings; none is lost, but none is billed",
        Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", dead),
        Limit(0, periods=1),
    )
    # Requests without a task's response: no healthy target, a connection closed by a task, a response that never comes.
    yield Watch(
        "balancer-errors",
        "The load balancer itself responds with server errors: no task took the request",
        Metric("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", {"LoadBalancer": args.balancer_suffix}),
        Limit(SERVER_ERRORS, periods=5),
    )
    yield from _database(config.database)
    yield from _redis(config.redis)
    yield from _services(config, args.names, args.canaries)
    if args.acl_name is not None:
        blocks: dict[str, pulumi.Input[str]] = {"WebACL": args.acl_name, "Region": config.stack.region, "Rule": "ALL"}
        yield Watch(
            "firewall-blocks",
            "The WAF refuses unusually many requests",
            Metric("AWS/WAFV2", "BlockedRequests", "Sum", blocks, period=300),
            Limit(config.alarms.waf_blocks_per_5_minutes, periods=1),
        )


def _database(database: DatabaseSection) -> Iterator[Watch]:
    dimensions: dict[str, pulumi.Input[str]] = {"DBInstanceIdentifier": database.id}
    yield Watch(
        "database-cpu",
        "PostgreSQL is busy",
        Metric("AWS/RDS", "CPUUtilization", "Average", dimensions, period=300),
        Limit(80, periods=3),
    )
    yield Watch(
        "database-storage",
        "PostgreSQL runs out of storage, and RDS did not add any",
        Metric("AWS/RDS", "FreeStorageSpace", "Minimum", dimensions, period=300),
        # RDS adds storage by itself when less than a tenth was free for five minutes: nobody is woken for that.
        Limit(database.storage_gb * 1e9 * STORAGE_LEFT, periods=6, below=True),
    )


def _redis(redis: RedisSection) -> Iterator[Watch]:
    for number, member in enumerate(_members(redis), start=1):
        dimensions: dict[str, pulumi.Input[str]] = {"CacheClusterId": member}
        yield Watch(
            f"redis-{number}-memory",
            "Redis fills up; it evicts nothing and will refuse writes",
            Metric("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "Maximum", dimensions, period=300),
            Limit(75, periods=2),
        )
        yield Watch(
            f"redis-{number}-cpu",
            "Redis is busy: one core does all commands",
            Metric("AWS/ElastiCache", "EngineCPUUtilization", "Average", dimensions, period=300),
            Limit(80, periods=3),
        )


def _services(config: StackConfig, names: Names, canaries: Sequence[str]) -> Iterator[Watch]:
    for service in config.of_role(Role.BACKEND):
        yield Watch(
            f"{service}-usage-age",
            "Usage readings wait in Redis: the publisher has stopped, or SQS is unavailable",
            _own(ours.USAGE_STREAM_AGE, "Maximum", names, service),
            Limit(LATE_SECONDS, periods=5),
        )
    for service in config.of_role(Role.SQS_UPDATER):
        yield Watch(
            f"{service}-halted",
            "The worker has stopped: one batch after another failed",
            _own(ours.USAGE_HALTED, "Maximum", names, service),
            Limit(0, periods=5),
        )
    for service in canaries:
        yield Watch(
            f"{service}-failing",
            "A stream or an upload through the public address fails, or the canary itself has stopped",
            replace(_own(ours.CANARY_SUCCESS, "Minimum", names, service), period=canary_period(config)),
            Limit(1, periods=3, below=True, missing="breaching"),
        )
    for service in config.of_role(Role.WS_PROXY):
        yield Watch(
            f"{service}-late-words",
            f"Half of the streams of {service} wait long for their first words",
            replace(_own(ours.FIRST_WORDS, "p50", names, service), period=300),
            Limit(config.alarms.first_words_seconds, periods=1),
        )
    for service in _proxies(config):
        yield Watch(
            f"{service}-circuit",
            f"An STT server of {service} fails; its circuit is open",
            _own(ours.CIRCUIT_OPEN, "Maximum", names, service),
            Limit(0, periods=3),
        )
        yield Watch(
            f"{service}-readings-dropped",
            f"{service} has no room left for readings while Redis is unavailable: further ones are only in its log",
            _own(ours.READINGS_DROPPED, "Sum", names, service),
            Limit(0, periods=1),
        )


def canary_period(config: StackConfig) -> int:
    """Seconds in which a canary that works has reported at least once; CloudWatch takes whole minutes."""
    return -(-(config.canary.interval_seconds + CANARY_RUN_SECONDS) // 60) * 60


def _proxies(config: StackConfig) -> list[str]:
    return [*config.of_role(Role.WS_PROXY), *config.of_role(Role.HTTP_PROXY)]


def _members(redis: RedisSection) -> list[str]:
    """ElastiCache's names of the group's nodes."""
    return [f"{redis.id}-{number:03}" for number in range(1, redis.nodes + 1)]


def _own(name: str, statistic: str, names: Names, service: str) -> Metric:
    """A metric that the services emit."""
    return Metric(ours.NAMESPACE, name, statistic, {"ServiceName": names.prefixed(service)})


def _widgets(args: ObservabilityArgs) -> list[dict[str, Any]]:
    """Two columns of graphs."""
    config, names, elb = args.config, args.names, "AWS/ApplicationELB"

    def own(metric: str, services: Sequence[str]) -> list[list[Any]]:
        return [[ours.NAMESPACE, metric, "ServiceName", names.prefixed(service)] for service in services]

    def group(metric: str) -> list[list[Any]]:
        return [
            [elb, metric, "TargetGroup", suffix, "LoadBalancer", args.balancer_suffix, {"label": service}]
            for service, suffix in args.group_suffixes.items()
        ]

    def insights(metric: str) -> list[list[Any]]:
        return [
            ["ECS/ContainerInsights", metric, "ClusterName", names.cluster, "ServiceName", service]
            for service in config.services
        ]

    sqs = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", each] for each in args.queue_names()]
    memory = "DatabaseMemoryUsagePercentage"
    redis = [["AWS/ElastiCache", memory, "CacheClusterId", member] for member in _members(config.redis)]
    streams, readers = list(config.of_role(Role.WS_PROXY)), list(config.of_role(Role.BACKEND))
    proxies, workers = _proxies(config), list(config.of_role(Role.SQS_UPDATER))
    graphs: list[tuple[str, str, list[list[Any]]]] = [
        ("Active streams", "Sum", own(ours.ACTIVE_STREAMS, streams)),
        ("Requests", "Sum", group("RequestCount")),
        ("Server errors", "Sum", group("HTTPCode_Target_5XX_Count")),
        ("Time to the first byte (p99)", "p99", group("TargetResponseTime")),
        ("Time to the first words (p90)", "p90", own(ours.FIRST_WORDS, streams)),
        ("Streams without words", "Sum", own(ours.WORDLESS, streams)),
        ("Healthy tasks", "Minimum", group("HealthyHostCount")),
        ("Running tasks", "Average", insights("RunningTaskCount")),
        ("CPU", "Average", insights("CpuUtilized")),
        ("Open circuits to STT servers", "Maximum", own(ours.CIRCUIT_OPEN, proxies)),
        # Each proxy sees the places of all its servers, so the average over proxies is what there is.
        ("STT servers: places, and those taken", "Average", own(ours.PLACES, streams) + own(ours.PLACES_USED, streams)),
        ("STT server failures", "Sum", own(ours.UPSTREAM_FAILURES, proxies)),
        ("Usage: oldest reading in Redis", "Maximum", own(ours.USAGE_STREAM_AGE, readers)),
        ("Usage: readings written", "Sum", own(ours.USAGE_MERGED, workers)),
        ("Usage: messages", "Maximum", sqs),
        ("Redis: memory", "Maximum", redis),
        ("PostgreSQL: CPU", "Average", [["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", config.database.id]]),
    ]
    if args.acl_name is not None:
        blocks = ["AWS/WAFV2", "BlockedRequests", "WebACL", args.acl_name, "Region", config.stack.region, "Rule", "ALL"]
        graphs.append(("WAF: blocked", "Sum", [blocks]))
    return [
        {
            "type": "metric",
            "x": index % 2 * WIDGET_WIDTH,
            "y": index // 2 * WIDGET_HEIGHT,
            "width": WIDGET_WIDTH,
            "height": WIDGET_HEIGHT,
            "properties": {
                "title": title,
                "region": config.stack.region,
                "stat": statistic,
                "period": 60,
                "metrics": metrics,
            },
        }
        for index, (title, statistic, metrics) in enumerate(graphs)
    ]
