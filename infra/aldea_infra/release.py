"""What runs in a stack's cluster, and whether it is what was deployed: read from ECS, for people and workflows.

python -m aldea_infra.release images STACK                       the digests that run now, as JSON by image
python -m aldea_infra.release verify STACK --images FILE         wait for steady state, then compare every task

`pulumi up` returns once ECS took the new definitions, and a deployment that the circuit breaker rolls back ends steady
as well: on the old image. So a deployment counts only when each service's primary deployment is complete, its
definition names the expected digest, and every running task was started from that definition with that digest.
No pulumi.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import botocore.exceptions
import botocore.session
from botocore.config import Config

from aldea_infra.catalogue import MAIN_CONTAINER, ROLES, Image
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.config.sections import ServiceSection

# ECS takes at most 10 services in DescribeServices and 100 tasks in DescribeTasks and ListTasks (API reference).
SERVICES_PER_CALL: Final = 10
TASKS_PER_CALL: Final = 100
POLL_SECONDS: Final = 10.0
# Two lanes drain one after the other within their deregistration delay and stop timeout; images are pulled before.
STEADY_SECONDS: Final = 1800.0
DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")


class Ecs(Protocol):
    """The calls of botocore's ECS client that are made here; all of them read."""

    def describe_services(self, *, cluster: str, services: list[str]) -> Mapping[str, Any]: ...
    def describe_task_definition(self, *, taskDefinition: str) -> Mapping[str, Any]: ...  # noqa: N803 - AWS's name
    def list_tasks(self, **arguments: str | int) -> Mapping[str, Any]: ...
    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> Mapping[str, Any]: ...


class NotAsDeployed(Exception):
    """Something else runs than was deployed; the message says what, service by service."""


@dataclass(frozen=True, slots=True)
class Running:
    """One service as ECS has it. `digests`: of the tasks that run; `definition` is the primary deployment's."""

    service: str
    image: Image
    steady: bool
    rollout: str
    definition: str
    definition_digest: str | None
    digests: tuple[str | None, ...]
    stray_tasks: int  # running from another definition

    def faults(self, expected: str) -> Iterator[str]:
        """What differs from a finished deployment of the digest `expected`."""
        if not self.steady:
            yield f"its deployment is {self.rollout}"
        if self.definition_digest != expected:
            yield f"its task definition {self.definition} names {self.definition_digest}, expected {expected}"
        if self.stray_tasks:
            yield f"{self.stray_tasks} tasks run from another task definition"
        if other := sorted({str(digest) for digest in self.digests if digest != expected}):
            yield f"tasks run {', '.join(other)}, expected {expected}"


class Cluster:
    """A stack's services in ECS."""

    def __init__(self, ecs: Ecs, name: str, services: Mapping[str, ServiceSection]) -> None:
        self._ecs = ecs
        self._name = name
        self._images = {service: ROLES[section.role].image for service, section in services.items()}

    def look(self) -> list[Running]:
        """Every service that exists; one that does not (a canary without a key) is left out."""
        names = list(self._images)
        found: list[Mapping[str, Any]] = []
        for start in range(0, len(names), SERVICES_PER_CALL):
            page = self._ecs.describe_services(cluster=self._name, services=names[start : start + SERVICES_PER_CALL])
            found += [service for service in page["services"] if service["status"] == "ACTIVE"]
        return [self._running(service) for service in found]

    def _running(self, service: Mapping[str, Any]) -> Running:
        primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
        rollout = primary.get("rolloutState", "unknown")
        tasks = list(self._tasks(service["serviceName"]))
        definition = primary["taskDefinition"]
        own = [task for task in tasks if task["taskDefinitionArn"] == definition]
        alone = len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]
        return Running(
            service=service["serviceName"],
            image=self._images[service["serviceName"]],
            steady=alone and rollout == "COMPLETED",
            rollout=rollout if alone or rollout == "FAILED" else f"{rollout}, not yet settled",
            definition=definition.rpartition("/")[2],
            definition_digest=self._defined(definition),
            digests=tuple(_main(task["containers"]).get("imageDigest") for task in own),
            stray_tasks=len(tasks) - len(own),
        )

    def _tasks(self, service: str) -> Iterator[Mapping[str, Any]]:
        arguments: dict[str, str | int] = {
            "cluster": self._name,
            "serviceName": service,
            "desiredStatus": "RUNNING",
            "maxResults": TASKS_PER_CALL,
        }
        while True:
            page = self._ecs.list_tasks(**arguments)
            if arns := list(page["taskArns"]):
                yield from self._ecs.describe_tasks(cluster=self._name, tasks=arns)["tasks"]
            if not page.get("nextToken"):
                return
            arguments["nextToken"] = page["nextToken"]

    def _defined(self, definition: str) -> str | None:
        found = self._ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
        digest = DIGEST.search(_main(found["containerDefinitions"])["image"])
        return digest[1] if digest else None


def _main(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The service's own container, beside one that only migrates."""
    return next(each for each in containers if each["name"] == MAIN_CONTAINER)


def images(services: Sequence[Running]) -> dict[str, str]:
    """The digests that run, by image. Raises NotAsDeployed while two services of an image differ."""
    found: dict[str, str] = {}
    for service in services:
        if service.definition_digest is None:
            continue
        if found.setdefault(service.image, service.definition_digest) != service.definition_digest:
            raise NotAsDeployed(
                f"{service.service} runs another {service.image} than its other lane: a deployment is not finished. "
                "Wait for it, or deploy one digest to both."
            )
    return found


def verify(
    look: Callable[[], Sequence[Running]],
    expected: Mapping[str, str],
    *,
    within: float,
    say: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Sequence[Running]:
    """Wait until every service is as deployed, and return them. Raises NotAsDeployed.

    A failed roll-out is reported at once; one that is only not finished yet, after `within` seconds.
    """
    until = clock() + within
    while True:
        services = look()
        faults = {each.service: list(each.faults(expected[each.image])) for each in services}
        wrong = {name: found for name, found in faults.items() if found}
        if services and not wrong:
            return services
        report = "\n".join(f"  {name}: {'; '.join(found)}" for name, found in wrong.items()) or "  no service is active"
        if any(each.rollout == "FAILED" for each in services):
            raise NotAsDeployed(f"A deployment failed and ECS rolled it back:\n{report}")
        if clock() >= until:
            raise NotAsDeployed(f"Not as deployed after {within:g} s:\n{report}")
        say(f"waiting: {len(services) - len(wrong)} of {len(services)} services are as deployed")
        pause(POLL_SECONDS)


def expected(path: Path) -> dict[str, str]:
    """Digests by image, one for each of the five. Raises ValueError."""
    found = json.loads(path.read_text())
    missing = [image for image in Image if not DIGEST.search(f"@{found.get(image, '')}")]
    if missing:
        raise ValueError(
            f"{path}: got no sha256 digest for {', '.join(missing)}; allowed: a JSON object with one for each image. "
            "make push-images writes it."
        )
    return {image: found[image] for image in Image}


def _table(services: Sequence[Running]) -> str:
    rows = [("service", "tasks", "task definition", "image digest")]
    rows += [(each.service, str(len(each.digests)), each.definition, str(each.definition_digest)) for each in services]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cluster(config: StackConfig) -> Cluster:
    client = botocore.session.get_session().create_client(
        "ecs",
        region_name=config.stack.region,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5}),
    )
    return Cluster(client, config.stack.cluster, config.services)


def main(arguments: Sequence[str]) -> int:
    """Run a command; the process's exit status: 1 if something else runs, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.release", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("images", "verify"):
        added = commands.add_parser(command)
        added.add_argument("stack", help="the stack's name, such as prod or dev")
        if command == "verify":
            added.add_argument("--images", type=Path, required=True, help="JSON: the expected digest of each image")
            added.add_argument("--within", type=float, default=STEADY_SECONDS, metavar="SECONDS")
            added.add_argument("--json", action="store_true", help="print digests by service as JSON")
    chosen = parser.parse_args(arguments)
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
        wanted = expected(chosen.images) if chosen.command == "verify" else {}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    cluster = _cluster(config)
    try:
        if chosen.command == "images":
            print(json.dumps(images(cluster.look())))  # noqa: T201 - a command's output
            return 0
        services = verify(cluster.look, wanted, within=chosen.within, say=_say)
    except (NotAsDeployed, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        _say(str(error))
        return 1
    shown = json.dumps({each.service: each.definition_digest for each in services}) if chosen.json else _table(services)
    print(shown)  # noqa: T201 - a command's output
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress, apart from the output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
