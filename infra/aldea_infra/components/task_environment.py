"""What the containers of each role are given: environment variables and AWS permissions.

The environment's names are the fields of the services' settings classes; a test compares the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi

from aldea_infra.catalogue import METRICS_PORT, ROLES, STOP_MARGIN, TRACED, Role
from aldea_infra.components.iam import Statement
from aldea_infra.components.naming import Names
from aldea_infra.config.parse import StackConfig

# Where services/Dockerfile puts the RDS certificate authorities.
RDS_CERTIFICATES: Final = "/etc/aldea/certificates/rds.pem"
# PostgreSQL roles that the migrations create; each signs in with an IAM token.
DATABASE_USERS: Final = {Role.BACKEND: "imp_backend", Role.SQS_UPDATER: "sqs_updater"}
# The load balancer alone appends to X-Forwarded-For. Global Accelerator works below HTTP and keeps the client's
# address; Envoy, which Service Connect runs, appends nothing unless it is configured to (`use_remote_address`), so the
# backend finds one entry in what the console sends it too.
FORWARDED_HOPS: Final = "1"
# The backend's name inside the Service Connect namespace.
BACKEND_ALIAS: Final = "backend"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The outputs of other components that containers learn of."""

    database_resource_id: pulumi.Output[str]
    queue_url: pulumi.Output[str]
    queue_arn: pulumi.Output[str]
    dead_letters_url: pulumi.Output[str]
    dead_letters_arn: pulumi.Output[str]
    target_groups: Mapping[str, pulumi.Output[str]]  # ARNs by service name
    listener_arn: pulumi.Output[str]


def environment(config: StackConfig, names: Names, service: str, around: Surroundings) -> dict[str, pulumi.Input[str]]:
    """The plain environment of a service's main container. Secrets come separately, by `valueFrom`."""
    section = config.services[service]
    spec = ROLES[section.role]
    hosts = config.hosts
    variables: dict[str, pulumi.Input[str]] = {
        "ENVIRONMENT": config.stack.environment,
        "SERVICE_NAME": names.prefixed(service),
    }
    if section.role is not Role.CANARY:  # which always logs and always measures
        variables |= {"LOG_LEVEL": "INFO", "EMF_METRICS": "true"}
    if spec.port is not None:
        variables |= {
            "BIND_HOST": "0.0.0.0",
            "PORT": str(spec.port),
            "METRICS_PORT": str(METRICS_PORT),
            "DRAIN_SECONDS": str(spec.stop_seconds - STOP_MARGIN),
        }
    if section.lane is not None:
        variables |= {"LANE": section.lane, "STT_UPSTREAMS": ",".join(config.upstreams(section.lane))}
    if section.role in TRACED:
        variables |= _traces(config)
    match section.role:
        case Role.WS_PROXY:
            variables |= {
                "AWS_REGION": config.stack.region,
                "TARGET_GROUP_ARN": around.target_groups[service],
                "LISTENER_ARN": around.listener_arn,
                "DEREGISTRATION_DELAY_SECONDS": str(section.deregistration_seconds),
            }
        case Role.BACKEND:
            variables |= {
                **_database(config),
                **_queues(around),
                "CONSOLE_ORIGIN": f"https://{hosts.platform}",
                "FORWARDED_HOPS": FORWARDED_HOPS,
                **_given(MAIL_FROM=config.mail.sender),
            }
        case Role.SQS_UPDATER:
            variables |= {**_database(config), **_queues(around)}
        case Role.FRONTEND:
            variables |= {
                "PUBLIC_API_URL": f"https://{hosts.api}",
                "FORWARDED_HOPS": FORWARDED_HOPS,
                **_given(
                    SUPPORT_ADDRESS=config.console.support_address,
                    STATUS_URL=config.console.status_url,
                    TRACE_URL=config.console.trace_url,
                ),
            }
        case Role.HTTP_PROXY:
            variables |= _given(RESERVE_AUDIO="true" if config.uploads.reserve_audio else None)
        case Role.CANARY:
            pass
    return variables


def migration_environment(config: StackConfig) -> dict[str, pulumi.Input[str]]:
    """The migrate container's; it signs in with the master password, which asyncpg reads from PGPASSWORD."""
    return {
        "ENVIRONMENT": config.stack.environment,
        "LOG_LEVEL": "INFO",
        "DATABASE_SSLROOTCERT": RDS_CERTIFICATES,
    }


def command(config: StackConfig, role: Role) -> Sequence[str]:
    """What the main container runs; empty: what its image does by itself."""
    program = ROLES[role].command
    if role is Role.CANARY:
        # The key comes as CANARY_KEY: an argument would be in the task definition.
        return [*program, "--url", f"https://{config.hosts.api}", "--loop", str(config.canary.interval_seconds)]
    return program


def backend_url() -> str:
    """Where the frontend reaches the Platform API: by Service Connect, not through the public name."""
    return f"http://{BACKEND_ALIAS}:{ROLES[Role.BACKEND].port}"


def permissions(config: StackConfig, role: Role, around: Surroundings) -> Sequence[Statement]:
    """What a role's tasks may call, and nothing else. Redis and the STT servers require credentials of their own."""
    queue, dead_letters = around.queue_arn, around.dead_letters_arn
    match role:
        case Role.WS_PROXY:
            # The early drain looks whether its own target is being deregistered, and at its lane's weight. The calls
            # take no resource.
            return [
                Statement(["elasticloadbalancing:DescribeTargetHealth", "elasticloadbalancing:DescribeRules"], ["*"])
            ]
        case Role.BACKEND:
            return [
                Statement(["sqs:SendMessage", "sqs:GetQueueAttributes"], [queue]),
                Statement(["sqs:GetQueueAttributes"], [dead_letters]),
                _signs_in(config, role, around),
            ]
        case Role.SQS_UPDATER:
            # It takes from the one and sends to the other; its `replay`, a task of its own, goes the other way.
            receive = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
            return [
                Statement([*receive, "sqs:SendMessage", "sqs:GetQueueAttributes"], [queue, dead_letters]),
                _signs_in(config, role, around),
            ]
        case Role.HTTP_PROXY | Role.FRONTEND | Role.CANARY:
            return []


def _signs_in(config: StackConfig, role: Role, around: Surroundings) -> Statement:
    region, account = config.stack.region, config.stack.account_id
    user = pulumi.Output.concat(
        f"arn:aws:rds-db:{region}:{account}:dbuser:", around.database_resource_id, f"/{DATABASE_USERS[role]}"
    )
    return Statement(["rds-db:connect"], [user])


def _given(**settings: str | None) -> dict[str, pulumi.Input[str]]:
    """The settings that the stack's file holds; for the others the service's own default counts."""
    return {name: value for name, value in settings.items() if value is not None}


def _traces(config: StackConfig) -> dict[str, pulumi.Input[str]]:
    if config.traces.endpoint is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": config.traces.endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": f"{config.traces.share:g}",
    }


def _database(config: StackConfig) -> dict[str, pulumi.Input[str]]:
    return {
        "DATABASE_IAM": "true",
        "DATABASE_SSLROOTCERT": RDS_CERTIFICATES,
        "AWS_REGION": config.stack.region,
    }


def _queues(around: Surroundings) -> dict[str, pulumi.Input[str]]:
    return {"USAGE_QUEUE_URL": around.queue_url, "USAGE_DLQ_URL": around.dead_letters_url}
