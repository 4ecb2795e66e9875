"""Which images a release deletes, and that what runs or is gone back to is never among them."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea_infra import release_prune
from aldea_infra.catalogue import Image
from aldea_infra.components.naming import Names
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.release import Running
from aldea_infra.release_prune import NotPruned, Repositories, Stored, needed, prune, superfluous
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process

NOW = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
NAMES = Names.of(StackConfig.model_validate(stack_file.read("dev")))


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def stored(number: int, days: float) -> Stored:
    return Stored(digest(number), (f"tag-{number}",), NOW - dt.timedelta(days=days))


def signature(number: int, days: float = 90) -> Stored:
    return Stored(digest(1000 + number), (f"sha256-{number:064x}.sig",), NOW - dt.timedelta(days=days))


def running(*digests: str, steady: bool = True, defined: str | None = digest(1), stray: int = 0) -> Running:
    return Running(
        service="imp-backend", image=Image.BACKEND, steady=steady, rollout="COMPLETED", definition="d:1",
        definition_digest=defined, digests=digests, stray_tasks=stray,
    )  # fmt: skip


@given(
    ages=st.lists(st.floats(0, 400), max_size=30),
    needs=st.sets(st.integers(0, 30)),
    keep=st.integers(1, 10),
)
def test_what_is_needed_new_or_young_always_stays(ages: list[float], needs: set[int], keep: int) -> None:
    images = [stored(number, age) for number, age in enumerate(ages)]
    every = [*images, *(signature(number) for number in range(len(ages)))]
    gone = superfluous(every, frozenset(map(digest, needs)), keep=keep, days=30, now=NOW)
    deleted = {each.digest for each in gone}
    newest = sorted(images, key=lambda each: each.pushed, reverse=True)[:keep]
    assert not deleted & {digest(number) for number in needs}
    assert not deleted & {each.digest for each in newest}
    assert not deleted & {each.digest for each in images if NOW - each.pushed <= dt.timedelta(days=30)}
    # A signature goes with its image and not otherwise.
    for number in range(len(ages)):
        assert (digest(number) in deleted) == (digest(1000 + number) in deleted)
    # And all else goes: the repository is bounded.
    rest = [each for each in images if each.digest not in deleted and each not in newest]
    assert all(each.digest in set(map(digest, needs)) or NOW - each.pushed <= dt.timedelta(days=30) for each in rest)


def test_what_runs_what_ran_before_and_the_migration_are_needed() -> None:
    found = needed([running(digest(1))], {"backend": digest(2), "frontend": digest(3)}, digest(4))
    assert found[Image.BACKEND] == {digest(1), digest(2), digest(4)}
    assert found[Image.FRONTEND] == {digest(3)}


@pytest.mark.parametrize(
    "services",
    [
        [],
        [running(digest(1), steady=False)],
        [running(digest(1), stray=1)],
        [running(digest(1), defined=None)],
    ],
)
def test_nothing_is_deleted_while_it_is_not_known_what_runs(services: list[Running]) -> None:
    with pytest.raises(NotPruned):
        needed(services, {}, None)


def test_a_previous_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "previous.json"
    path.write_text(json.dumps({"backend": "latest"}))
    with pytest.raises(ValueError, match="allowed: a digest"):
        release_prune.previous(path)


@pytest.fixture(scope="module")
def ecr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    port = free_port()
    process = Process(stores.sqs_spec(port, "ecr,sts"), log=tmp_path_factory.mktemp("ecr") / "log").start()
    session = botocore.session.get_session()
    session.set_credentials("test", "test")
    client = session.create_client("ecr", region_name="us-west-2", endpoint_url=stores.sqs_url(port))
    for image in Image:
        client.create_repository(repositoryName=NAMES.repository(image))
    yield client
    process.stop()


def test_a_repository_is_read_and_only_with_delete_changed(ecr: Any) -> None:
    for number in range(5):
        manifest = json.dumps({"schemaVersion": 2, "config": {"digest": digest(number)}, "layers": []})
        ecr.put_image(repositoryName=NAMES.repository(Image.BACKEND), imageManifest=manifest, imageTag=f"tag-{number}")
    repositories = Repositories(ecr, NAMES)
    before = repositories.tagged(Image.BACKEND)
    assert len(before) == 5
    keep, ran, other = before[0].digest, before[1].digest, dt.datetime.now(dt.UTC) + dt.timedelta(days=60)
    needs = {image: frozenset[str]() for image in Image} | {Image.BACKEND: frozenset({keep, ran})}
    said: list[str] = []
    reported = prune(repositories, needs, keep=1, days=30, delete=False, say=said.append, now=other)
    assert repositories.tagged(Image.BACKEND) == before
    assert sum("would delete" in line for line in said) == reported >= 2
    assert prune(repositories, needs, keep=1, days=30, delete=True, say=said.append, now=other) == reported
    left = {each.digest for each in repositories.tagged(Image.BACKEND)}
    assert {keep, ran} <= left
    assert len(left) == 5 - reported
    assert prune(repositories, needs, keep=1, days=30, delete=True, say=said.append, now=other) == 0


def test_what_ecr_does_not_delete_is_reported() -> None:
    class Keeps:
        def describe_images(self, **_: Any) -> dict[str, Any]:
            return {"imageDetails": []}

        def batch_delete_image(self, **_: Any) -> dict[str, Any]:
            failure = {"imageId": {"imageDigest": digest(1)}, "failureCode": "ImageReferencedByManifestList"}
            return {"failures": [failure]}

    with pytest.raises(NotPruned, match="ImageReferencedByManifestList"):
        Repositories(Keeps(), NAMES).delete(Image.BACKEND, [stored(1, 90)])
