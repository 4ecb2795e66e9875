"""What all containers on Fargate have in common: how they are locked down, where they log, what starting one takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pulumi

from aldea_infra.components import iam

# A burst of log lines may wait here instead of blocking the process when CloudWatch is slow.
LOG_BUFFER: Final = "25m"


def container_definition(
    name: str,
    image: pulumi.Input[str],
    logs: Mapping[str, Any],
    environment: Mapping[str, pulumi.Input[str]],
    secrets: Mapping[str, pulumi.Input[str]],
) -> dict[str, Any]:
    """A container definition as ECS spells it; sorted, so that equal inputs make an equal document."""
    return {
        "name": name,
        "image": image,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"initProcessEnabled": True, "capabilities": {"drop": ["ALL"]}},
        "environment": [{"name": key, "value": environment[key]} for key in sorted(environment)],
        "secrets": [{"name": key, "valueFrom": secrets[key]} for key in sorted(secrets)],
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp"}],  # noqa: S108 - the task's own volume
        "ulimits": [{"name": "nofile", "softLimit": 65536, "hardLimit": 65536}],
        "logConfiguration": dict(logs),
    }


def container_logs(group: pulumi.Input[str], region: str, prefix: str) -> dict[str, Any]:
    """A container's log configuration: a log group of CloudWatch."""
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": group,
            "awslogs-region": region,
            "awslogs-stream-prefix": prefix,
            "mode": "non-blocking",
            "max-buffer-size": LOG_BUFFER,
        },
    }


def start_permissions(
    repository_arn: pulumi.Input[str], log_group_arn: pulumi.Output[str], secret_arns: Sequence[pulumi.Output[str]]
) -> list[iam.Statement]:
    """Pull this image, write these logs, read these secrets."""
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    write = ["logs:CreateLogStream", "logs:PutLogEvents"]
    statements = [
        iam.Statement(["ecr:GetAuthorizationToken"], ["*"]),  # the call takes no resource
        iam.Statement(pull, [repository_arn]),
        iam.Statement(write, [pulumi.Output.concat(log_group_arn, ":*")]),
    ]
    if secret_arns:
        statements.append(iam.Statement(["secretsmanager:GetSecretValue"], list(secret_arns)))
    return statements
