"""Migrates a stack's database by a one-off task, and waits for its end: the step of a release before its services.

python -m aldea_infra.release_migration STACK [--images FILE]

The task definition is the deployed one (`MigrationTask`) with the new backend's digest, as a revision of its own: the
new code's migrations must have run before `pulumi up` replaces a service. Without FILE the deployed image migrates, as
after the first `pulumi up`. Old code runs on the new schema: migrations expand before they contract. No pulumi.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import botocore.exceptions
import botocore.session
from botocore.config import Config

from aldea_infra.catalogue import Image, Role
from aldea_infra.components.naming import Names
from aldea_infra.components.tags import tags
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.release import expected

# `backend migrate` gives up after half an hour; a task takes a minute to start.
WITHIN_SECONDS: Final = 33 * 60.0
POLL_SECONDS: Final = 5.0
# What a definition that is described has beyond what one may register (ECS API reference, RegisterTaskDefinition).
DESCRIBED_ONLY: Final = frozenset(
    {"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy"}
)


class NotMigrated(Exception):
    """The task did not run, or failed; the message says where its log is."""


class Migration:
    """One stack's migration. `ecs`: botocore's client."""

    def __init__(
        self, ecs: Any, config: StackConfig, *, pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._ecs, self._config, self._names = ecs, config, Names.of(config)
        self._pause, self._clock = pause, clock

    def run(self, digest: str | None) -> None:
        """Migrate with the backend's image of this digest, or the deployed one. Raises NotMigrated."""
        definition = self._definition(digest)
        (service,) = self._config.of_role(Role.BACKEND)
        found = self._ecs.describe_services(cluster=self._names.cluster, services=[service])["services"]
        if not found:
            raise NotMigrated(f"there is no service {service} yet, whose network the task needs: run pulumi up first")
        response = self._ecs.run_task(
            cluster=self._names.cluster,
            taskDefinition=definition,
            launchType="FARGATE",
            networkConfiguration=found[0]["networkConfiguration"],
            count=1,
            startedBy="release",
        )
        if not response["tasks"]:
            raise NotMigrated(f"ECS starts no task: {response.get('failures')}")
        self._wait(response["tasks"][0]["taskArn"])

    def _definition(self, digest: str | None) -> str:
        """The definition to run: the deployed one, or a new revision of it with another image."""
        family = self._names.migration_family
        found = self._ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
        (container,) = found["containerDefinitions"]
        repository = container["image"].partition("@")[0]
        if digest is None or container["image"] == f"{repository}@{digest}":
            return str(found["taskDefinitionArn"])
        fields = {key: value for key, value in found.items() if key not in DESCRIBED_ONLY}
        fields["containerDefinitions"] = [{**container, "image": f"{repository}@{digest}"}]
        # Tagged, as the deploy role must: whose it is.
        labels = [{"key": key, "value": value} for key, value in tags(self._config).items()]
        made = self._ecs.register_task_definition(**fields, tags=labels)
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def _wait(self, task: str) -> None:
        until = self._clock() + WITHIN_SECONDS
        log = f"its log: {self._names.log_group('migrate')}, stream {task.rpartition('/')[2]}"
        while True:
            (found,) = self._ecs.describe_tasks(cluster=self._names.cluster, tasks=[task])["tasks"]
            if found["lastStatus"] == "STOPPED":
                status = found["containers"][0].get("exitCode")
                if status == 0:
                    return
                reason = found["containers"][0].get("reason") or found.get("stoppedReason") or "no reason given"
                raise NotMigrated(f"the migration ended with status {status} ({reason}); {log}")
            if self._clock() >= until:
                raise NotMigrated(f"the migration still runs after {WITHIN_SECONDS:g} s; {log}")
            _say(f"migrating: {found['lastStatus'].lower()}")
            self._pause(POLL_SECONDS)


def main(arguments: Sequence[str]) -> int:
    """Migrate; the process's exit status: 1 if it failed, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.release_migration", description=__doc__)
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--images", type=Path, help="JSON: the digest of each image that is going to be deployed")
    chosen = parser.parse_args(arguments)
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
        digest = expected(chosen.images)[Image.BACKEND] if chosen.images else None
    except (OSError, ValueError) as error:
        parser.error(str(error))
    client = botocore.session.get_session().create_client(
        "ecs",
        region_name=config.stack.region,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5}),
    )
    try:
        Migration(client, config).run(digest)
    except (NotMigrated, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        _say(str(error))
        return 1
    _say("migrated")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress for a person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
