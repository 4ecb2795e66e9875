import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from aldea.load.course import Course, Result, Window
from aldea.load.crowd import Crowd
from aldea.load.plan import Plan
from aldea.load.report import document, limited_by
from aldea.load.verdict import Objectives
from aldea.objectives import FINAL_LAG, FIRST_WORDS
from tests.fakes.limited import LimitedPlatform
from tests.unit.aldea.load.test_crowd import sample as sample  # noqa: PLC0414 - the same sample

# No machine is so busy that its latency decides here.
OBJECTIVES = Objectives(first_words=replace(FIRST_WORDS, seconds=600.0), final_lag=replace(FINAL_LAG, seconds=600.0))


async def run(platform: LimitedPlatform, sample: Path, plan: Plan, seen: list[Window] | None = None) -> Result:
    async with TestServer(platform.app()) as server:
        plan = replace(plan, url=str(server.make_url("")).rstrip("/"))
        crowd = Crowd(plan, "org_key", sample, 600.0)
        return await Course(plan, crowd, OBJECTIVES, (seen if seen is not None else []).append).run()


@pytest.mark.parametrize("limit", [5, 12])
async def test_the_saturation_point_is_the_stand_ins_known_limit(sample: Path, limit: int) -> None:
    platform = LimitedPlatform(carries=limit)
    plan = Plan("", 24, 0.0, 0.1, stream_seconds=3600.0, saturation=True)
    result = await run(platform, sample, plan)
    assert (result.saturation, result.limit, limited_by(result)) == (limit, limit + 1, "status 503")
    assert platform.most == limit
    assert platform.running == 0


async def test_a_deployment_that_carries_everything_has_no_saturation_point(sample: Path) -> None:
    result = await run(LimitedPlatform(carries=99), sample, Plan("", 4, 0.0, 0.1, saturation=True))
    assert (result.saturation, result.limit, limited_by(result)) == (4, None, None)
    assert [stage.streams for stage in result.stages] == [1, 2, 4]


async def test_a_held_load_is_judged_and_its_course_is_kept(sample: Path) -> None:
    seen: list[Window] = []
    platform = LimitedPlatform(carries=99)
    result = await run(platform, sample, Plan("", 4, 0.0, 0.5, uploads=1, stream_seconds=3600.0), seen)
    assert all(each.kept for each in result.judged)
    assert (result.most_open, result.total.opened, result.total.ended) == (4, 4, 4)
    assert platform.uploads >= 1
    assert result.windows
    assert not result.interrupted
    found = document(result)
    assert found["streams"]["failed"] == 0
    assert "org_key" not in str(found)


async def test_a_test_that_is_stopped_ends_with_its_report(sample: Path) -> None:
    async with TestServer(LimitedPlatform(carries=99).app()) as server:
        plan = Plan(str(server.make_url("")).rstrip("/"), 2, 0.0, 3600.0)
        course = Course(plan, Crowd(plan, "org_key", sample, 600.0), OBJECTIVES)
        asyncio.get_running_loop().call_later(0.2, course.stop)
        result = await course.run()
    assert result.interrupted
    assert result.total.ended == result.total.opened
