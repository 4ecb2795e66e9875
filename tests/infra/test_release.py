"""Is it what was deployed? ECS's responses are staged; botocore's model checks requests and responses."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from aldea_infra import release
from aldea_infra.catalogue import Image
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.release import Cluster, NotAsDeployed, Running, images, verify

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
REGISTRY = "111122223333.dkr.ecr.us-west-2.amazonaws.com/aldea-ecs-dev"
DEFINITION = "arn:aws:ecs:us-west-2:111122223333:task-definition/aldea-ecs-dev-backend:7"
OTHER = DEFINITION.replace(":7", ":6")


@pytest.fixture
def staged() -> Iterator[tuple[Cluster, Stubber]]:
    """A cluster of one service, and what ECS will return about it."""
    session = botocore.session.get_session()
    session.set_credentials("key", "secret")
    client = session.create_client("ecs", region_name="us-west-2")
    services = StackConfig.model_validate(stack_file.read("dev")).services
    with Stubber(client) as stubber:
        yield Cluster(client, "aldea-ecs-dev", {"backend": services["backend"]}), stubber


def stage(
    stubber: Stubber,
    *,
    rollout: str = "COMPLETED",
    deployments: int = 1,
    running: int = 2,
    image: str = f"{REGISTRY}-backend@{NEW}",
    tasks: Sequence[tuple[str, str]] = ((DEFINITION, NEW), (DEFINITION, NEW)),
) -> None:
    primary = {"status": "PRIMARY", "taskDefinition": DEFINITION, "rolloutState": rollout}
    older = {"status": "ACTIVE", "taskDefinition": OTHER, "rolloutState": "COMPLETED"}
    service = {
        "serviceName": "backend",
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": running,
        "deployments": [primary, *[older] * (deployments - 1)],
    }
    stubber.add_response("describe_services", {"services": [service]})
    arns = [f"arn:aws:ecs:us-west-2:111122223333:task/{number}" for number in range(len(tasks))]
    # Two pages, as there would be with more than a hundred tasks.
    stubber.add_response("list_tasks", {"taskArns": arns[:1], "nextToken": "more"})
    stubber.add_response("describe_tasks", {"tasks": [task(*found) for found in tasks[:1]]})
    stubber.add_response("list_tasks", {"taskArns": arns[1:]})
    stubber.add_response("describe_tasks", {"tasks": [task(*found) for found in tasks[1:]]})
    containers = [{"name": "main", "image": image}, {"name": "migrate", "image": "any"}]
    stubber.add_response("describe_task_definition", {"taskDefinition": {"containerDefinitions": containers}})


def task(definition: str, digest: str) -> dict[str, Any]:
    containers = [{"name": "migrate", "imageDigest": "sha256:any"}, {"name": "main", "imageDigest": digest}]
    return {"taskDefinitionArn": definition, "containers": containers}


def faults(staged: tuple[Cluster, Stubber]) -> list[str]:
    (service,) = staged[0].look()
    return list(service.faults(NEW))


def test_a_finished_deployment_has_no_fault(staged: tuple[Cluster, Stubber]) -> None:
    stage(staged[1])
    assert faults(staged) == []


@pytest.mark.parametrize(
    ("staging", "said"),
    [
        ({"rollout": "IN_PROGRESS"}, "IN_PROGRESS"),
        ({"deployments": 2}, "not yet settled"),
        ({"running": 1}, "not yet settled"),
        ({"image": f"{REGISTRY}-backend@{OLD}"}, f"names {OLD}, expected {NEW}"),
        ({"image": f"{REGISTRY}-backend:latest"}, "names None"),
        ({"tasks": ((DEFINITION, NEW), (OTHER, OLD))}, "1 tasks run from another task definition"),
        ({"tasks": ((DEFINITION, NEW), (DEFINITION, OLD))}, f"tasks run {OLD}"),
    ],
    ids=["rolling", "two deployments", "a task missing", "rolled back", "a tag", "stray task", "stray digest"],
)
def test_whatever_differs_from_a_finished_deployment_is_reported(
    staged: tuple[Cluster, Stubber], staging: dict[str, Any], said: str
) -> None:
    stage(staged[1], **staging)
    found = faults(staged)
    assert len(found) == 1
    assert said in found[0]


def test_a_service_that_does_not_exist_yet_is_left_out(staged: tuple[Cluster, Stubber]) -> None:
    staged[1].add_response("describe_services", {"services": [], "failures": [{"reason": "MISSING"}]})
    assert staged[0].look() == []


def running(service: str = "ws-proxy-live1", digest: str = NEW, rollout: str = "COMPLETED") -> Running:
    return Running(
        service=service,
        image=Image.WS_PROXY,
        steady=rollout == "COMPLETED",
        rollout=rollout,
        definition=f"{service}:7",
        definition_digest=digest,
        digests=(digest,),
        stray_tasks=0,
    )


class Clock:
    """Time that only passes while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def wait(look: Callable[[], Sequence[Running]]) -> tuple[Sequence[Running], list[str]]:
    clock, said = Clock(), list[str]()
    found = verify(look, {Image.WS_PROXY: NEW}, within=60, say=said.append, pause=clock.pause, clock=clock)
    return found, said


def test_a_deployment_is_waited_for_and_its_progress_is_reported() -> None:
    looks = iter([[running(rollout="IN_PROGRESS"), running("ws-proxy-live2")], [running(), running("ws-proxy-live2")]])
    found, said = wait(lambda: next(looks))
    assert [service.service for service in found] == ["ws-proxy-live1", "ws-proxy-live2"]
    assert said == ["waiting: 1 of 2 services are as deployed"]


def test_a_failed_deployment_is_reported_at_once() -> None:
    with pytest.raises(NotAsDeployed, match=r"rolled it back:\n  ws-proxy-live1: its deployment is FAILED"):
        wait(lambda: [running(rollout="FAILED")])


def test_a_rollback_that_ended_steady_is_no_success() -> None:
    with pytest.raises(NotAsDeployed, match=f"after 60 s:\n  ws-proxy-live1: .*expected {NEW}"):
        wait(lambda: [running(digest=OLD)])


def test_a_cluster_without_services_is_no_success() -> None:
    with pytest.raises(NotAsDeployed, match="no service is active"):
        wait(list)


def test_the_digests_that_run_are_reported_by_image_unless_lanes_differ() -> None:
    assert images([running(), running("ws-proxy-live2")]) == {"ws-proxy": NEW}
    with pytest.raises(NotAsDeployed, match="another ws-proxy"):
        images([running(), running("ws-proxy-live2", OLD)])


@pytest.mark.parametrize("content", ["{}", json.dumps(dict.fromkeys(Image, "latest")), "nonsense"])
def test_unusable_arguments_end_with_status_2_and_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "images.json").write_text(content)
    for stack in ("dev", "nowhere"):
        with pytest.raises(SystemExit) as ended:
            release.main(["verify", stack, "--images", str(tmp_path / "images.json")])
        assert ended.value.code == 2
        assert len(capsys.readouterr().err.strip()) > 20
