"""The task that migrates the database: run once by each release, before its services (`aldea_infra.release_migration`).

It alone is given the master password, which RDS keeps and rotates.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from aldea_infra.catalogue import MIGRATE_CONTAINER
from aldea_infra.components.containers import container_definition, container_logs, start_permissions
from aldea_infra.components.fargate_service import Placement
from aldea_infra.components.imports import Adoption
from aldea_infra.components.naming import Names


@dataclass(frozen=True, slots=True)
class MigrationTaskArgs:
    """What the task needs to know. `secrets`: environment variable → valueFrom; `secret_arns`: those that it reads."""

    names: Names
    placement: Placement
    image: pulumi.Output[str]
    repository_arn: pulumi.Output[str]
    environment: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Output[str]]
    secret_arns: list[pulumi.Output[str]]


class MigrationTask(pulumi.ComponentResource):
    """Log group, roles and task definition of `python -m backend migrate`. Nothing runs it but a release."""

    def __init__(
        self, name: str, args: MigrationTaskArgs, adoption: Adoption, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("aldea:service:MigrationTask", name, None, opts)
        placement = args.placement
        logs = aws.cloudwatch.LogGroup(
            f"{name}-log",
            name=args.names.log_group(name),
            retention_in_days=placement.log_retention_days,
            opts=adoption.options(self, f"log-{name}"),
        )
        trusted = "ecs-tasks.amazonaws.com"
        task_role, _ = placement.roles.make(f"{name}-task", trusted, f"{name}: calls nothing", [], self)
        execution_role, policies = placement.roles.make(
            f"{name}-execution",
            trusted,
            f"{name}: what starting it takes",
            start_permissions(args.repository_arn, logs.arn, args.secret_arns),
            self,
        )
        container = container_definition(
            MIGRATE_CONTAINER,
            args.image,
            container_logs(logs.name, placement.region, MIGRATE_CONTAINER),
            args.environment,
            args.secrets,
        ) | {"essential": True, "command": ["python", "-m", "backend", "migrate"]}
        self.task_definition = aws.ecs.TaskDefinition(
            name,
            family=args.names.migration_family,
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu="256",
            memory="512",
            runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
                operating_system_family="LINUX", cpu_architecture=placement.architecture
            ),
            task_role_arn=task_role.arn,
            execution_role_arn=execution_role.arn,
            container_definitions=pulumi.Output.json_dumps([container]),
            volumes=[aws.ecs.TaskDefinitionVolumeArgs(name="tmp")],
            skip_destroy=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=policies),
        )
        self.register_outputs({"taskDefinition": self.task_definition.arn})
