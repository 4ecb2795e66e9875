"""The services of one stack: each from its section of the configuration and its role's place in the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi

from aldea_infra.catalogue import ROLES, Image, Role
from aldea_infra.components import secret_store, task_environment
from aldea_infra.components.alarms import Alarms
from aldea_infra.components.datastores import Database
from aldea_infra.components.fargate_service import Container, FargateService, FargateServiceArgs, Placement
from aldea_infra.components.imports import Adoption
from aldea_infra.components.load_balancer import Balancer
from aldea_infra.components.migration_task import MigrationTask, MigrationTaskArgs
from aldea_infra.components.naming import Names
from aldea_infra.components.queue import UsageQueue
from aldea_infra.components.registry import Registry
from aldea_infra.components.secret_store import SecretStore
from aldea_infra.config.parse import StackConfig
from aldea_infra.config.sections import ServiceSection

# The backend comes first: the others call it, or read what it writes.
FIRST: Final = Role.BACKEND
AFTER_THE_BACKEND: Final = frozenset({Role.SQS_UPDATER, Role.FRONTEND})


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the services keep things."""

    database: Database
    queue: UsageQueue
    secrets: SecretStore


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the services have in common."""

    config: StackConfig
    names: Names
    placement: Placement
    balancer: Balancer
    stores: Stores
    registry: Registry
    adoption: Adoption
    alarms: Alarms | None

    def surroundings(self) -> task_environment.Surroundings:
        """What containers know of the rest of the stack, and may do with it."""
        queue = self.stores.queue
        return task_environment.Surroundings(
            database_resource_id=self.stores.database.resource_id,
            queue_url=queue.queue.url,
            queue_arn=queue.queue.arn,
            dead_letters_url=queue.dead_letters.url,
            dead_letters_arn=queue.dead_letters.arn,
            target_groups={name: group.arn for name, group in self.balancer.groups.items()},
            listener_arn=self.balancer.listener.arn,
        )

    def migration(self) -> MigrationTaskArgs:
        """The task that migrates: the only one that is given the master password."""
        master, secrets = self.stores.database.master_secret_arn, self.stores.secrets
        return MigrationTaskArgs(
            names=self.names,
            placement=self.placement,
            image=self.registry.references[Image.BACKEND],
            repository_arn=self.registry.arns[Image.BACKEND],
            environment=task_environment.migration_environment(self.config),
            secrets={
                "DATABASE_URL": secrets.value_from(secret_store.BACKEND, secret_store.MIGRATE_URL),
                "PGPASSWORD": secret_store.value_from(master, "password"),
            },
            secret_arns=[secrets.arn(secret_store.BACKEND), master],
        )


def run(fleet: Fleet, services: Mapping[str, ServiceSection], opts: pulumi.ResourceOptions) -> None:
    """Register the services, the backend before those that depend on it."""
    around = fleet.surroundings()
    MigrationTask("migrate", fleet.migration(), fleet.adoption, opts)
    backend: list[pulumi.Resource] = []
    for name, section in sorted(services.items(), key=lambda item: (item[1].role is not FIRST, item[0])):
        steady = [*fleet.balancer.rules, *(backend if section.role in AFTER_THE_BACKEND else [])]
        args = _service(fleet, name, section, around, steady)
        made = FargateService(name, args, opts)
        if section.role is FIRST:
            backend = [made.service]


def _image(fleet: Fleet, section: ServiceSection) -> pulumi.Output[str]:
    """The image that a service runs: its lane's own while a release is delivered in stages, else everybody's."""
    image = ROLES[section.role].image
    own = fleet.config.lanes[section.lane].images.get(image) if section.lane else None
    return pulumi.Output.concat(fleet.registry.urls[image], "@", own) if own else fleet.registry.references[image]


def _service(
    fleet: Fleet,
    name: str,
    section: ServiceSection,
    around: task_environment.Surroundings,
    steady: list[pulumi.Resource],
) -> FargateServiceArgs:
    config, spec = fleet.config, ROLES[section.role]
    return FargateServiceArgs(
        section=section,
        names=fleet.names,
        placement=fleet.placement,
        container=Container(
            image=_image(fleet, section),
            repository_arn=fleet.registry.arns[spec.image],
            port=spec.port,
            stop_seconds=spec.stop_seconds,
            command=task_environment.command(config, section.role),
            environment=task_environment.environment(config, fleet.names, name, around),
            secrets=fleet.stores.secrets.injection(section.role),
        ),
        permissions=task_environment.permissions(config, section.role, around),
        alarms=fleet.alarms,
        adoption=fleet.adoption,
        target_group=fleet.balancer.groups.get(name),
        balancer_suffix=fleet.balancer.balancer.arn_suffix,
        offers_as=task_environment.BACKEND_ALIAS if section.role is Role.BACKEND else None,
        uses_connect=section.role is Role.FRONTEND,
        steady=steady,
    )
