from typing import Any

import pytest

from aldea.drain import DeregistrationWatch, DrainSettings, Target, own_address, target_state
from aldea.service import Lifecycle
from aldea.settings import read


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("healthy", Target.REGISTERED),
        ("initial", Target.REGISTERED),
        ("unhealthy", Target.REGISTERED),
        ("unavailable", Target.REGISTERED),
        ("draining", Target.LEAVING),
        ("unused", Target.ABSENT),
    ],
)
def test_every_state_of_a_target_is_understood(state: str, found: Target) -> None:
    assert target_state([{"TargetHealth": {"State": state}}]) is found


def test_a_target_that_is_not_listed_is_absent() -> None:
    assert target_state([]) is Target.ABSENT


def test_the_own_address_stands_in_the_task_metadata() -> None:
    task: dict[str, Any] = {"Containers": [{"Networks": []}, {"Networks": [{"IPv4Addresses": ["10.0.1.2"]}]}]}
    assert own_address(task) == "10.0.1.2"
    assert own_address({}) is None


def test_without_a_target_group_or_metadata_there_is_nothing_to_watch() -> None:
    lifecycle = Lifecycle()
    assert not DeregistrationWatch(lifecycle, read(DrainSettings, port=1, target_group_arn="arn:x")).configured
    settings = read(DrainSettings, port=1, target_group_arn="arn:x", ecs_container_metadata_uri_v4="http://127.0.0.1:1")
    assert DeregistrationWatch(lifecycle, settings).configured
