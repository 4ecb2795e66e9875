from typing import Any

import pytest

from aldea.service.drain import DeregistrationWatch, DrainSettings, Target, own_address, target_state
from aldea.service.lifecycle import Lifecycle
from aldea.settings import read


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("healthy", Target.REGISTERED),
        ("initial", Target.REGISTERED),
        ("unhealthy", Target.REGISTERED),
        ("unavailable", Target.REGISTERED),
        ("draining", Target.LEAVING),
        ("unhealthy.draining", Target.REGISTERED),
        ("unused", Target.UNKNOWN),
        ("a state of tomorrow", Target.UNKNOWN),
    ],
)
def test_every_state_of_a_target_is_understood(state: str, found: Target) -> None:
    assert target_state([{"TargetHealth": {"State": state}}]) is found


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        ("Target.NotRegistered", Target.ABSENT),
        ("Target.NotInUse", Target.UNKNOWN),
        ("Target.InvalidState", Target.UNKNOWN),
        ("Target.IpUnusable", Target.UNKNOWN),
    ],
)
def test_of_an_unused_target_only_one_reason_says_that_it_has_left(reason: str, found: Target) -> None:
    assert target_state([{"TargetHealth": {"State": "unused", "Reason": reason}}]) is found


R, A, L, U = Target.REGISTERED, Target.ABSENT, Target.LEAVING, Target.UNKNOWN


@pytest.mark.parametrize(
    ("looks", "drains"),
    [
        ([R, L], True),
        ([R, A, A], True),
        ([R, A], False),
        ([R, A, R, A], False),
        ([R, A, U, A], False),
        ([R, U, U, U], False),
        ([A, A, A], False),
        ([L, L], False),  # of the task that had this address before
        ([L, R, L], True),
    ],
)
def test_a_drain_begins_only_when_it_is_certain_that_the_target_leaves(looks: list[Target], drains: bool) -> None:
    watch = DeregistrationWatch(Lifecycle(), read(DrainSettings, port=1))
    reasons = [watch._judge(look) for look in looks]
    assert [reason is not None for reason in reasons] == [False] * (len(looks) - 1) + [drains]


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
