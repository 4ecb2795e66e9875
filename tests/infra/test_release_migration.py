"""The migration of a release: ECS's responses are staged, and checked by botocore's own model."""

import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.stub import ANY, Stubber

from aldea_infra import release_migration
from aldea_infra.checks import reachability
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline.graph import Graph
from aldea_infra.release_migration import Migration, NotMigrated

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
REPOSITORY = "111122223333.dkr.ecr.us-west-2.amazonaws.com/aldea-ecs-dev-backend"
DEFINITION = "arn:aws:ecs:us-west-2:111122223333:task-definition/aldea-ecs-dev-migrate:7"
NEWER = DEFINITION.replace(":7", ":8")
TASK = "arn:aws:ecs:us-west-2:111122223333:task/aldea-ecs-dev/1"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}


@pytest.fixture
def staged() -> Iterator[tuple[Migration, Stubber]]:
    session = botocore.session.get_session()
    session.set_credentials("key", "secret")
    client = session.create_client("ecs", region_name="us-west-2")
    config = StackConfig.model_validate(stack_file.read("dev"))
    with Stubber(client) as stubber:
        yield Migration(client, config, pause=lambda _: None), stubber


def stage(stubber: Stubber, image: str = NEW, ran: str = NEWER, **end: Any) -> None:
    """The deployed definition runs OLD; the task runs once and ends with `end`."""
    held = {
        "taskDefinitionArn": DEFINITION, "revision": 7, "status": "ACTIVE", "family": "aldea-ecs-dev-migrate",
        "executionRoleArn": "arn:aws:iam::111122223333:role/x", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "migrate", "image": f"{REPOSITORY}@{OLD}"}],
    }  # fmt: skip
    stubber.add_response("describe_task_definition", {"taskDefinition": held})
    if image != OLD:
        wanted = {key: held[key] for key in ("family", "executionRoleArn", "networkMode", "cpu", "memory")} | {
            "containerDefinitions": [{"name": "migrate", "image": f"{REPOSITORY}@{image}"}],
            "tags": ANY,
        }
        stubber.add_response("register_task_definition", {"taskDefinition": {"taskDefinitionArn": NEWER}}, wanted)
    stubber.add_response("describe_services", {"services": [{"networkConfiguration": NETWORK}]})
    stubber.add_response(
        "run_task",
        {"tasks": [{"taskArn": TASK}]},
        {
            "cluster": "aldea-ecs-dev", "taskDefinition": ran, "launchType": "FARGATE", "count": 1,
            "networkConfiguration": NETWORK, "startedBy": "release",
        },
    )  # fmt: skip
    stubber.add_response("describe_tasks", {"tasks": [{"lastStatus": "PENDING", "containers": []}]})
    stubber.add_response("describe_tasks", {"tasks": [{"lastStatus": "STOPPED", **end}]})


def test_the_new_image_migrates_and_is_waited_for(staged: tuple[Migration, Stubber]) -> None:
    stage(staged[1], containers=[{"exitCode": 0}])
    staged[0].run(NEW)
    staged[1].assert_no_pending_responses()


@pytest.mark.parametrize("digest", [None, OLD])
def test_the_deployed_image_migrates_from_its_own_definition(
    digest: str | None, staged: tuple[Migration, Stubber]
) -> None:
    stage(staged[1], image=OLD, ran=DEFINITION, containers=[{"exitCode": 0}])
    staged[0].run(digest)
    staged[1].assert_no_pending_responses()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"containers": [{"exitCode": 1, "reason": "boom"}]}, "status 1 (boom)"),
        ({"containers": [{}], "stoppedReason": "no secret"}, "status None (no secret)"),
    ],
)
def test_a_migration_that_failed_names_its_log(
    end: dict[str, Any], said: str, staged: tuple[Migration, Stubber]
) -> None:
    stage(staged[1], **end)
    with pytest.raises(NotMigrated) as caught:
        staged[0].run(NEW)
    assert said in str(caught.value)
    assert "/ecs/aldea-ecs-dev/migrate, stream 1" in str(caught.value)


def test_a_migration_that_does_not_end_is_reported(
    staged: tuple[Migration, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_migration, "WITHIN_SECONDS", -1)
    stage(staged[1], containers=[{"exitCode": 0}])
    with pytest.raises(NotMigrated, match="still runs"):
        staged[0].run(NEW)


def test_the_family_is_the_one_that_the_program_registers(dev: Graph) -> None:
    task = dev.one("TaskDefinition", "migrate")
    assert task.inputs["family"] == "aldea-ecs-dev-migrate"
    (container,) = task.json("containerDefinitions")
    assert container["command"] == ["python", "-m", "backend", "migrate"]
    assert container["image"].partition("@")[0].rpartition("/")[2] == "aldea-ecs-dev-backend"
    assert reachability.secrets(container).keys() == {"DATABASE_URL", "PGPASSWORD"}
    assert "rds!" in json.dumps(container)
