"""Counting tries without Redis: windows, limits, a bounded memory."""

from collections.abc import Sequence
from typing import Any

import pytest

from aldea.errors import TooManyRequests
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import Script
from backend.api import throttle
from backend.api.throttle import KEPT_TURN_MS, Pace, Rule, Throttle

RULE = Rule("login", 3, 60)


class Unavailable:
    """A link to a Redis that is not there."""

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        raise RedisUnavailable("unavailable")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def subject(clock: Clock) -> Throttle:
    link: Any = Unavailable()
    return Throttle(link, clock=clock)


async def test_the_limit_holds_in_this_process_while_redis_is_unavailable_until_the_window_ends(
    subject: Throttle, clock: Clock
) -> None:
    for left in (2, 1, 0):
        assert (await subject.take(RULE.of("ann")))["RateLimit"] == f'"login";r={left};t=60'
    clock.now = 40
    with pytest.raises(TooManyRequests) as refused:
        await subject.take(RULE.of("ann"))
    assert refused.value.headers() == {
        "Retry-After": "20", "RateLimit-Policy": '"login";q=3;w=60', "RateLimit": '"login";r=0;t=20',
    }  # fmt: skip
    await subject.take(RULE.of("bob"))
    clock.now = 60
    await subject.take(RULE.of("ann"))


async def test_a_try_that_one_rule_refuses_is_not_counted_by_the_others(subject: Throttle) -> None:
    wide = Rule("wide", 4, 60)
    for _ in range(3):
        await subject.take(RULE.of("ann"), wide.of("ann"))
    for _ in range(5):
        with pytest.raises(TooManyRequests):
            await subject.take(RULE.of("ann"), wide.of("ann"))
    await subject.take(wide.of("ann"))


PACE = Pace("account", free=3, step=2, longest=5, seconds=3600)


def test_a_pace_leaves_the_first_tries_alone_and_then_waits_ever_longer_up_to_its_bound() -> None:
    assert [PACE.wait(tries) for tries in range(10)] == [0, 0, 0, 0, 1, 2, 2, 4, 4, 5]
    assert PACE.wait(10**9) == 5


async def test_who_has_waited_has_their_turn_whatever_others_try_meanwhile(subject: Throttle, clock: Clock) -> None:
    async def waits(who: str) -> float:
        try:
            await subject.take(turn=PACE.of("ann", who))
        except TooManyRequests as refused:
            return refused.retry_after or -1
        return 0.0

    assert [await waits("afar") for _ in range(5)] == [0, 0, 0, 0, 1]
    assert await waits("owner") == 1
    for number in range(50):
        assert await waits(f"afar-{number}") >= 1
    clock.now = 0.5
    assert await waits("owner") == 0.5, "coming early costs nothing"
    clock.now = 1
    assert await waits("owner") == 0
    assert await waits("owner") > 0, "a turn is one try"
    clock.now = 1 + 5 + KEPT_TURN_MS / 1000 + 1
    assert await waits("afar") > 0, "a turn that nobody took is lost"
    await subject.take(turn=PACE.of("bob", "afar"))


async def test_what_a_rule_refuses_takes_no_turn(subject: Throttle, clock: Clock) -> None:
    for _ in range(3):
        await subject.take(RULE.of("afar"), turn=PACE.of("ann", "afar"))
    for _ in range(10):
        with pytest.raises(TooManyRequests):
            await subject.take(RULE.of("afar"), turn=PACE.of("ann", "afar"))
    await subject.take(turn=PACE.of("ann", "owner"))


async def test_a_try_that_turned_out_well_does_not_count(subject: Throttle) -> None:
    for _ in range(10):
        await subject.take(RULE.of("ann"))
        await subject.give_back(RULE.of("ann"))
    await subject.give_back(RULE.of("nobody"))


async def test_the_memory_is_bounded_and_forgets_the_oldest(subject: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_LOCAL", 2)
    for name in ("ann", "ann", "ann", "bob", "carol"):
        await subject.take(RULE.of(name))
    assert len(subject._local) == 2
    pace = Pace("none-free", free=-1, step=1, longest=5, seconds=60)
    for who in ("a", "b", "c"):
        with pytest.raises(TooManyRequests):
            await subject.take(turn=pace.of("dave", who))
    assert len(subject._turns) == 2
    await subject.take(RULE.of("ann"))


def test_a_counters_name_does_not_contain_what_is_counted() -> None:
    assert "ann" not in RULE.of("ann@example.com").name
    assert RULE.of("a").name != RULE.of("b").name != Rule("other", 3, 60).of("b").name
