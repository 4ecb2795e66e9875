"""The changes of docs/deploy.md that a running stack gets, and what each may do to it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aldea_infra.catalogue import TRACED, Image, Role
from aldea_infra.config.parse import Secret, StackConfig
from aldea_infra.offline.mock_run import MADE_UP

# What the stack has when the changes begin: the canary's key is made on a platform that runs, mail may come later.
LATER: Final = frozenset({Secret.CANARY_KEY, Secret.MAIL_URL})
AT_FIRST: Final[Mapping[Secret, str]] = {secret: text for secret, text in MADE_UP.items() if secret not in LATER}
ANOTHER_DIGEST: Final = "sha256:" + "cd" * 32
ROTATED: Final = {
    Secret.REDIS_AUTH_TOKEN: "another-redis-auth-token-0123456789",
    Secret.REDIS_AUTH_TOKEN_BEFORE: MADE_UP[Secret.REDIS_AUTH_TOKEN],
}
# The services' deployments watch them, and GitHub's role and its boundary get two more control planes.
SWITCHED_ON: Final = ("ecs_service.*", "iam_policy.boundary", "iam_role_policy.ci-deploy")
CANARY: Final = (
    "secretsmanager_secret*.*canary*", "cloudwatch_log_group.canary-*", "cloudwatch_metric_alarm.canary-*",
    "iam_role*.canary-*", "ecs_*.canary", "security_group.canary-*", "vpc_security_group_*_rule.canary-*",
)  # fmt: skip

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a stack's file or secrets. `expected`: by action, patterns of the addresses that it may touch.

    Every effect must fit a pattern of its action, and every pattern must have an effect.
    """

    title: str
    edit: Callable[[Values], object] = lambda _values: None
    secrets: Mapping[Secret, str] = field(default_factory=dict)
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def changes(config: StackConfig) -> Iterator[Change]:
    """Those that this stack can have, in the order of docs/deploy.md."""
    backend, ws = config.of_role(Role.BACKEND), config.of_role(Role.WS_PROXY)
    frontend = config.of_role(Role.FRONTEND)
    proxies = {**ws, **config.of_role(Role.HTTP_PROXY)}
    one = next(iter(ws))
    yield Change("nothing")
    if config.of_role(Role.CANARY):
        yield Change(
            "canaryKey set",
            secrets={Secret.CANARY_KEY: MADE_UP[Secret.CANARY_KEY]},
            expected={"create": CANARY},
        )
    yield Change(
        "mailUrl set",
        secrets={Secret.MAIL_URL: MADE_UP[Secret.MAIL_URL]},
        expected={
            "create": ("vpc_security_group_egress_rule.backend-to-internet-465-out",),
            "replace": ("secretsmanager_secret_version.imp-backend-env", *_each("ecs_task_definition", backend)),
            # The secret's description names its keys.
            "update": ("secretsmanager_secret.imp-backend-env", *_each("ecs_service", backend)),
        },
    )
    yield Change(
        "mail.from, console.supportAddress and console.statusUrl changed",
        lambda values: values.update(
            mail={"from": "Speech <mail@example.com>"},
            console={"supportAddress": "help@example.com", "statusUrl": "https://status.example.com"},
        ),
        expected={
            "replace": (*_each("ecs_task_definition", (*backend, *frontend)),),
            "update": (*_each("ecs_service", (*backend, *frontend)),),
        },
    )
    traced = [name for role in sorted(TRACED) for name in config.of_role(role)]
    yield Change(
        "traces, console.traceUrl and uploads.reserveAudio set",
        lambda values: (
            values.update(traces={"endpoint": "http://otlp.example.com:4318", "share": 0.25}),
            values.setdefault("console", {}).update(traceUrl="https://traces.example.com/trace/{trace_id}"),
            values.setdefault("uploads", {}).update(reserveAudio=True),
        ),
        expected={
            "create": tuple(f"vpc_security_group_egress_rule.{role}-to-internet-4318-out" for role in sorted(TRACED)),
            "replace": (*_each("ecs_task_definition", (*traced, *frontend)),),
            "update": (*_each("ecs_service", (*traced, *frontend)),),
        },
    )
    yield Change(
        "alarms.email set",
        lambda values: values["alarms"].update(enabled=True, email="on-call@example.com"),
        expected={"create": ("sns_topic_subscription.*",)}
        if config.alarms.enabled
        else {"create": ("sns_topic*.*", "cloudwatch_metric_alarm.*", "kms_key.*"), "update": SWITCHED_ON},
    )
    yield Change(
        "another digest of the backend's image",
        lambda values: values.update(images={Image.BACKEND: ANOTHER_DIGEST}),
        expected={
            "replace": (*_each("ecs_task_definition", (*backend, "migrate")),),
            "update": (*_each("ecs_service", backend),),
        },
    )
    yield from _lanes(config)
    yield Change(
        "redisAuthToken rotated: both passwords",
        secrets=ROTATED,
        expected={
            "update": ("elasticache_user.*", *_each("ecs_service", (*proxies, *backend))),
            "replace": ("secretsmanager_secret_version.*", *_each("ecs_task_definition", (*proxies, *backend))),
        },
    )
    yield Change(
        "sttUpstreamToken: another one",
        secrets={Secret.STT_UPSTREAM_TOKEN: "another-stt-upstream-token"},
        expected={
            "update": (*_each("ecs_service", proxies),),
            "replace": ("secretsmanager_secret_version.stt-upstream-env", *_each("ecs_task_definition", proxies)),
        },
    )
    yield Change(
        "a service's cpu and memory",
        lambda values: values["services"][one].update(cpu=2048, memory=4096),
        expected={"replace": (f"ecs_task_definition.{one}",), "update": (f"ecs_service.{one}",)},
    )
    yield Change(
        "a service's maxTasks",
        lambda values: values["services"][one].update(maxTasks=config.services[one].max_tasks + 5),
        expected={"update": (f"appautoscaling_target.{one}",)},
    )
    yield Change(
        "spot switched",
        lambda values: values["stack"].update(spot=not config.stack.spot),
        expected={"update": ("ecs_service.*", "ecs_cluster_capacity_providers.*")},
    )
    yield Change(
        "database.instanceClass, redis.nodeType",
        lambda values: (
            values["database"].update(instanceClass="db.m7g.xlarge"),
            values["redis"].update(nodeType="cache.m7g.xlarge"),
        ),
        expected={"update": ("db_instance.database", "elasticache_replication_group.redis")},
    )
    if config.database.protected:
        yield Change(
            "unprotected, as before `pulumi destroy`",
            lambda values: (
                values["database"].update(protected=False),
                values["balancer"].update(deletionProtection=False),
            ),
            expected={"update": ("db_instance.database", "lb.alb", "ecr_repository.*", "s3_bucket.*")},
        )


def _lanes(config: StackConfig) -> Iterator[Change]:
    """The weights of two lanes."""
    if len(config.lanes) < 2:
        return
    first, second, *_ = config.lanes
    yield Change(
        f"lanes.{first}.weight: 70",
        lambda values: values["lanes"][first].update(weight=70),
        expected={"update": ("lb_listener_rule.rule-*",)},
    )
    others = [name for name, service in config.services.items() if service.lane == first]
    yield Change(
        f"lanes.{second}.weight: 0",
        lambda values: values["lanes"][second].update(weight=0),
        expected={
            "replace": (*_each("ecs_task_definition", others),),
            "update": ("lb_listener_rule.rule-*", *_each("ecs_service", others)),
        },
    )


def _each(type_: str, names: Any) -> list[str]:
    return [f"{type_}.{name}" for name in names]
