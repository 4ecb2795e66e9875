"""Deletes tagged images that no deployment needs any more, after one was verified; without --delete it only says which.

python -m aldea_infra.release_prune STACK --previous FILE [--keep N] [--days DAYS] [--delete]

ECR's lifecycle rules know neither what runs nor what a rollback goes back to, so none of them touches a tagged image.
An image stays if a task runs it, if a service's or the migration's task definition names it, if it is in FILE (what ran
before), if it is among the newest N of its repository, or if it was pushed within DAYS. What is not known is not
deleted: nothing at all while a deployment is under way, or where no service runs. A signature or attestation
(`sha256-….sig`, `.att`) goes with the image that it is of. No pulumi.
"""

import argparse
import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import botocore.exceptions
import botocore.session
from botocore.config import Config

from aldea_infra.catalogue import Image
from aldea_infra.components.naming import Names
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.release import DIGEST, Cluster, Running

KEEP: Final = 20
DAYS: Final = 30
# ECR takes at most 100 images in BatchDeleteImage and gives up to 1,000 in DescribeImages (API reference).
IMAGES_PER_CALL: Final = 100
IMAGES_PER_PAGE: Final = 1000
# What cosign tags beside the image of this digest.
BESIDE: Final = re.compile(r"sha256-([0-9a-f]{64})(\.\w+)?")


class Ecr(Protocol):
    """The calls of botocore's ECR client that are made here."""

    def describe_images(self, **arguments: Any) -> Mapping[str, Any]: ...
    def batch_delete_image(self, *, repositoryName: str, imageIds: list[dict[str, str]]) -> Mapping[str, Any]: ...  # noqa: N803 - AWS's names


class NotPruned(Exception):
    """It is not known which images are needed; the message says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One tagged image of a repository."""

    digest: str
    tags: tuple[str, ...]
    pushed: dt.datetime

    @property
    def subject(self) -> str | None:
        """The digest that this is a signature or attestation of."""
        found = [BESIDE.fullmatch(tag) for tag in self.tags]
        return f"sha256:{found[0][1]}" if found and all(found) and found[0] else None


def superfluous(
    stored: Sequence[Stored], needed: frozenset[str], *, keep: int, days: int, now: dt.datetime
) -> list[Stored]:
    """What may be deleted of a repository, oldest first, each followed by what belongs to it. `needed`: digests."""
    own = sorted((each for each in stored if each.subject is None), key=lambda each: each.pushed, reverse=True)
    old = [
        each
        for each in own[keep:]
        if each.digest not in needed and now - each.pushed > dt.timedelta(days=days)
    ]  # fmt: skip
    beside = {each.digest: [other for other in stored if other.subject == each.digest] for each in old}
    return [found for each in reversed(old) for found in (each, *beside[each.digest])]


def needed(
    services: Sequence[Running], previous: Mapping[str, str], migration: str | None
) -> dict[Image, frozenset[str]]:
    """The digests of each image that run or are gone back to. Raises NotPruned while that is not certain."""
    if not services:
        raise NotPruned("no service runs in the cluster: what is needed is not known")
    found: dict[Image, set[str]] = {image: set() for image in Image}
    for service in services:
        digests = {service.definition_digest, *service.digests}
        if not service.steady or service.stray_tasks or None in digests:
            raise NotPruned(f"{service.service} is not settled ({service.rollout}); wait, then make deploy-verify")
        found[Image(service.image)] |= {str(digest) for digest in digests}
    for name, digest in previous.items():
        found[Image(name)].add(digest)
    if migration is not None:
        found[Image.BACKEND].add(migration)
    return {image: frozenset(digests) for image, digests in found.items()}


class Repositories:
    """A stack's repositories in ECR."""

    def __init__(self, ecr: Ecr, names: Names) -> None:
        self._ecr, self._names = ecr, names

    def tagged(self, image: Image) -> list[Stored]:
        """Every tagged image of a repository."""
        return list(self._tagged(image))

    def _tagged(self, image: Image) -> Iterator[Stored]:
        arguments: dict[str, Any] = {
            "repositoryName": self._names.repository(image),
            "filter": {"tagStatus": "TAGGED"},
            "maxResults": IMAGES_PER_PAGE,
        }
        while True:
            page = self._ecr.describe_images(**arguments)
            for each in page["imageDetails"]:
                pushed = each["imagePushedAt"]
                yield Stored(each["imageDigest"], tuple(each.get("imageTags", ())), pushed.astimezone(dt.UTC))
            if not page.get("nextToken"):
                return
            arguments["nextToken"] = page["nextToken"]

    def delete(self, image: Image, stored: Sequence[Stored]) -> None:
        """Delete these by digest, with all their tags. Raises NotPruned for what ECR keeps."""
        for start in range(0, len(stored), IMAGES_PER_CALL):
            done = self._ecr.batch_delete_image(
                repositoryName=self._names.repository(image),
                imageIds=[{"imageDigest": each.digest} for each in stored[start : start + IMAGES_PER_CALL]],
            )
            if failures := done.get("failures"):
                reported = ", ".join(
                    f"{each['imageId'].get('imageDigest')}: {each['failureCode']}" for each in failures
                )
                raise NotPruned(f"{self._names.repository(image)} keeps {reported}")


def prune(
    repositories: Repositories,
    needs: Mapping[Image, frozenset[str]],
    *,
    keep: int,
    days: int,
    delete: bool,
    say: Callable[[str], None],
    now: dt.datetime,
) -> int:
    """Say, and with `delete` do, what is superfluous in every repository; how many images that are."""
    count = 0
    for image in Image:
        stored = repositories.tagged(image)
        found = superfluous(stored, needs[image], keep=keep, days=days, now=now)
        for each in found:
            say(f"{image}: {'deleting' if delete else 'would delete'} {each.digest} ({', '.join(each.tags)})")
        if delete and found:
            repositories.delete(image, found)
        say(f"{image}: {len(stored) - len(found)} of {len(stored)} tagged images stay")
        count += len(found)
    return count


def previous(path: Path) -> dict[str, str]:
    """The digests that ran before, by image. Raises ValueError."""
    found = json.loads(path.read_text())
    unknown = [name for name, digest in found.items() if name not in set(Image) or not DIGEST.search(f"@{digest}")]
    if unknown:
        raise ValueError(f"{path}: got {', '.join(unknown)}; allowed: a digest for each of {', '.join(Image)}")
    return dict(found)


def main(arguments: Sequence[str]) -> int:
    """Prune; the process's exit status: 1 if nothing could be decided or deleted, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.release_prune", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--previous", type=Path, required=True, help="JSON: the digests that a rollback goes back to")
    parser.add_argument("--keep", type=int, default=KEEP, metavar="N", help=f"the newest N stay (default {KEEP})")
    parser.add_argument("--days", type=int, default=DAYS, help=f"what was pushed within DAYS stays (default {DAYS})")
    parser.add_argument("--delete", action="store_true", help="delete them, not only name them")
    chosen = parser.parse_args(arguments)
    if chosen.keep < 1 or chosen.days < 1:
        parser.error(f"got --keep {chosen.keep} --days {chosen.days}; allowed: 1 or more of each")
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
        before = previous(chosen.previous)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    ecs, names = _client("ecs", config), Names.of(config)
    try:
        needs = needed(
            Cluster(ecs, config.stack.cluster, config.services).look(), before, _migration(ecs, names)
        )  # fmt: skip
        prune(
            Repositories(_client("ecr", config), names), needs,
            keep=chosen.keep, days=chosen.days, delete=chosen.delete, say=_say, now=dt.datetime.now(dt.UTC),
        )  # fmt: skip
    except (NotPruned, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        _say(f"nothing more is deleted: {error}")
        return 1
    return 0


def _migration(ecs: Any, names: Names) -> str | None:
    """The digest of the deployed migration's task definition."""
    try:
        found = ecs.describe_task_definition(taskDefinition=names.migration_family)["taskDefinition"]
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "ClientException":  # there is none yet
            return None
        raise
    digest = DIGEST.search(found["containerDefinitions"][0]["image"])
    return digest[1] if digest else None


def _client(service: str, config: StackConfig) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=config.stack.region,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 5}),
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress for a person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
