"""Which receivers are tried, by what was seen of them."""

import pytest

from http_proxy.callbacks import receivers
from http_proxy.callbacks.receivers import HUNG_IN_A_ROW, Receivers

URL = "https://hooks.example/a"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def hanging(clock: Clock, times: int = HUNG_IN_A_ROW) -> Receivers:
    found = Receivers(pause_seconds=30, clock=clock)
    for _ in range(times):
        found.hung("p", URL)
    return found


def test_one_slow_response_says_nothing() -> None:
    found = hanging(Clock(), HUNG_IN_A_ROW - 1)
    assert found.may_try("p", URL)
    assert found.may_try("p", URL)


def test_a_receiver_that_hangs_is_tried_once_in_each_pause_until_it_responds() -> None:
    clock = Clock()
    found = hanging(clock)
    assert not found.may_try("p", URL)
    clock.now = 30
    assert found.may_try("p", "https://hooks.example/another-path")
    assert not found.may_try("p", URL)
    found.hung("p", URL)
    clock.now = 59
    assert not found.may_try("p", URL)
    clock.now = 60
    assert found.may_try("p", URL)
    found.responded("p", URL)
    assert len(found) == 0
    assert found.may_try("p", URL)


@pytest.mark.parametrize(
    ("project", "url"), [("q", URL), ("p", "https://other.example/a"), ("p", "https://hooks.example:8443/a")]
)
def test_nobody_is_held_back_for_another_projects_or_hosts_receiver(project: str, url: str) -> None:
    assert hanging(Clock()).may_try(project, url)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "MAX_REMEMBERED", 3)
    found = Receivers(pause_seconds=30)
    for number in range(9):
        found.hung("p", f"https://host-{number}.example/")
    found.hung("p", "http://[")
    assert len(found) == 3
