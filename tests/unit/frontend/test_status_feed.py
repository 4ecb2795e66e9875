"""The status is requested once in some seconds, whoever looks, also while nothing responds."""

import asyncio
from typing import Any

from frontend.api import ApiDown
from frontend.status_feed import AGAIN_SECONDS, FRESH_SECONDS, StatusFeed
from tests.fakes.platform_api import status_of


class Api:
    def __init__(self) -> None:
        self.calls = 0
        self.down = False
        self.found: Any = status_of()

    async def call(self, method: str, path: str) -> Any:
        assert (method, path) == ("GET", "/v1/status")
        self.calls += 1
        await asyncio.sleep(0)
        if self.down:
            raise ApiDown("no response")
        return self.found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def feed() -> tuple[Any, Clock, StatusFeed]:
    api: Any = Api()
    clock = Clock()
    return api, clock, StatusFeed(api, clock=clock)


async def test_a_crowd_costs_one_call() -> None:
    api, clock, status = feed()
    found = await asyncio.gather(*(status.seen() for _ in range(300)))
    assert api.calls == 1
    assert all(one is not None and one.current for one in found)
    clock.now += FRESH_SECONDS
    await status.seen()
    assert api.calls == 2


async def test_an_outage_costs_one_attempt_in_some_seconds_and_shows_what_was_seen_last() -> None:
    api, clock, status = feed()
    api.down = True
    assert set(await asyncio.gather(*(status.seen() for _ in range(300)))) == {None}
    assert api.calls == 1
    api.down = False
    clock.now += AGAIN_SECONDS
    seen = await status.seen()
    assert seen is not None
    assert seen.current
    api.down = True
    clock.now += FRESH_SECONDS
    last = await status.seen()
    assert last is not None
    assert (last.current, last.raw) == (False, seen.raw)


async def test_a_response_of_another_shape_is_an_outage() -> None:
    api, _, status = feed()
    api.found = {"state": "operational"}
    assert await status.seen() is None
