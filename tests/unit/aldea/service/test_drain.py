import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from aldea.service.drain import DeregistrationWatch, DrainSettings, Target, own_address, target_state
from aldea.service.lifecycle import Lifecycle
from aldea.settings import read
from aldea.tasks import cancel, spawn


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


def test_the_own_address_is_in_the_task_metadata() -> None:
    task: dict[str, Any] = {"Containers": [{"Networks": []}, {"Networks": [{"IPv4Addresses": ["10.0.1.2"]}]}]}
    assert own_address(task) == "10.0.1.2"
    assert own_address({}) is None


def test_without_a_target_group_or_metadata_there_is_nothing_to_watch() -> None:
    lifecycle = Lifecycle()
    assert not DeregistrationWatch(lifecycle, read(DrainSettings, port=1, target_group_arn="arn:x")).configured
    settings = read(DrainSettings, port=1, target_group_arn="arn:x", ecs_container_metadata_uri_v4="http://127.0.0.1:1")
    assert DeregistrationWatch(lifecycle, settings).configured


TASK = '{"DesiredStatus": "RUNNING", "Containers": [{"Networks": [{"IPv4Addresses": ["10.0.1.2"]}]}]}'


@pytest.mark.parametrize("task", [
    "null", "[]", "7", "", "<html>", '{"Containers": null}', '{"Containers": [null]}', '{"Containers": {}}',
    '{"Containers": [{"Networks": 1}]}', '{"Containers": [{"Networks": [{"IPv4Addresses": {"a": 1}}]}]}',
])  # fmt: skip
async def test_the_watch_goes_on_whatever_the_task_metadata_says(task: str) -> None:
    await _watched(task, web.Response(text="<html>", status=200))


@pytest.mark.parametrize(("status", "text"), [
    (200, ""), (200, "{}"), (200, "<html><p>"), (200, "not XML"), (200, "<a/>"), (200, "\0"), (302, ""), (400, "{"),
    (400, "<ErrorResponse/>"), (403, "<html>"), (429, "slow down"), (500, "oops"), (503, "<html>"), (599, ""),
    (400, "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"),
])  # fmt: skip
async def test_the_watch_goes_on_whatever_the_load_balancers_api_says(status: int, text: str) -> None:
    await _watched(TASK, web.Response(text=text, status=status, content_type="text/xml"))


async def _watched(task: str, response: web.Response) -> None:
    """Watch for three looks. Nothing that is said there is a reason to drain, nor one to look no more."""
    looks = 0

    async def metadata(_request: web.Request) -> web.Response:
        nonlocal looks
        looks += 1
        return web.Response(text=task)

    async def balancer(_request: web.Request) -> web.Response:
        return web.Response(text=response.text, status=response.status, content_type=response.content_type)

    app = web.Application()
    app.router.add_get("/v4/task", metadata)
    app.router.add_post("/", balancer)
    lifecycle = Lifecycle()
    async with TestServer(app) as server, ClientSession() as session:
        settings = read(
            DrainSettings,
            port=1,
            target_group_arn="arn:x",
            elb_endpoint_url=str(server.make_url("/")),
            ecs_container_metadata_uri_v4=str(server.make_url("/v4")),
            deregistration_look_seconds=0.01,
        )
        watching = spawn(DeregistrationWatch(lifecycle, settings).run(session), name="watch")
        try:
            async with asyncio.timeout(60):
                while looks < 3 and not watching.done():
                    await asyncio.sleep(0.01)
            assert not watching.done()
        finally:
            await cancel(watching)
    assert not lifecycle.draining
