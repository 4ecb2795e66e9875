"""The canary's reports: what a run was, in the API's words, and what waits while the platform cannot be reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.canary import reports
from aldea.canary.reports import Outcome, Reports, Step, as_run


def outcome(*steps: Step) -> Outcome:
    return Outcome(all(step.ok for step in steps), 1.0, steps)


def step(name: str, ok: bool = True, **figures: float) -> Step:
    return Step(name, ok, "", figures)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            (step("stream", connect=0.1, first_words=0.7, last_words=0.02), step("upload"), step("usage", lag=1.25)),
            {
                "stream": True, "upload": True, "usage": True, "first_words_ms": 700, "last_words_ms": 20,
                "usage_lag_ms": 1250,
            },
        ),
        ((step("stream", False), step("upload"), step("usage")), {"stream": False, "upload": True, "usage": True}),
        # With nothing to bill, the bill is not what failed.
        ((step("stream", False), step("upload", False), step("usage", False)), {"stream": False, "upload": False}),
        ((step("stream"), step("upload")), {"stream": True, "upload": True}),
        ((step("run", False),), {"stream": False, "upload": False}),
    ],
    ids=["good", "half", "bad", "no-usage", "no-end"],
)  # fmt: skip
def test_a_run_says_what_was_tried_and_measured(steps: tuple[Step, ...], expected: dict[str, Any]) -> None:
    assert as_run(outcome(*steps), 7) == {"began_ms": 7, **expected}


class Api:
    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[list[int]] = []
        self.credentials: set[str | None] = set()

    async def take(self, request: web.Request) -> web.Response:
        self.credentials.add(request.headers.get("Authorization"))
        self.got.append([run["began_ms"] for run in (await request.json())["runs"]])
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text="{}")


@asynccontextmanager
async def reporting(api: Api) -> AsyncIterator[Reports]:
    app = web.Application()
    app.router.add_post("/v1/status/runs", api.take)
    async with TestServer(app) as server:
        yield Reports(str(server.make_url("")).rstrip("/"), "org_canary")


async def test_runs_wait_for_a_platform_that_is_down_and_come_with_the_next() -> None:
    api = Api(503, 429, 200)
    async with reporting(api) as sending:
        for at in (1, 2, 3):
            await sending.send({"began_ms": at})
    assert api.got == [[1], [1, 2], [1, 2, 3]]
    assert not sending.waiting
    assert api.credentials == {"Token org_canary"}


async def test_a_refused_report_is_not_repeated_for_ever() -> None:
    api = Api(403)
    async with reporting(api) as sending:
        await sending.send({"began_ms": 1})
        await sending.send({"began_ms": 2})
    assert api.got == [[1], [2]]


async def test_a_platform_that_nothing_reaches_costs_bounded_memory_and_long_waits_come_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "MOST_OF_ONE", 2)
    lost = Reports("http://127.0.0.1:1", "org_canary")
    await lost.send({"began_ms": 0})
    assert [run["began_ms"] for run in lost.waiting] == [0]
    assert lost.waiting.maxlen == reports.MOST_WAITING
    api = Api()
    async with reporting(api) as sending:
        sending.waiting.extend({"began_ms": at} for at in range(4))
        await sending.send({"began_ms": 4})
    assert api.got == [[0, 1], [2, 3], [4]]
