"""The own target's deregistration, looked up at a real load balancer API (the emulator's)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiobotocore.session import get_session
from aiohttp import ClientSession, web

from aldea.drain import DeregistrationWatch, DrainSettings
from aldea.service import Lifecycle
from aldea.settings import read
from aldea.tasks import cancel, spawn
from onebox import stores
from onebox.process import Process, free_port

ADDRESS = "127.0.0.9"
PORT = 8101


@pytest.fixture(scope="module")
def elb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = Process(stores.sqs_spec(port, services="elbv2"), log=tmp_path_factory.mktemp("elb") / "log").start()
    yield stores.sqs_url(port)
    process.stop()


@pytest.fixture
async def elb(elb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    for name, value in stores.AWS_ENV.items():
        monkeypatch.setenv(name, value)
    async with get_session().create_client("elbv2", region_name="us-west-2", endpoint_url=elb_endpoint) as client:
        yield client


@pytest.fixture
async def metadata() -> AsyncIterator[dict[str, Any]]:
    """The ECS agent's metadata endpoint: a dictionary that the test changes, and its address under `uri`."""
    task: dict[str, Any] = {"DesiredStatus": "RUNNING", "Containers": [{"Networks": [{"IPv4Addresses": [ADDRESS]}]}]}
    app = web.Application()

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(task)

    app.router.add_get("/v4/task", show)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield {"task": task, "uri": f"http://127.0.0.1:{port}/v4"}
    await runner.cleanup()


async def target_group(elb: Any, name: str) -> str:
    made = await elb.create_target_group(Name=name, Protocol="HTTP", Port=PORT, TargetType="ip")
    return str(made["TargetGroups"][0]["TargetGroupArn"])


async def until(condition: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def watch(lifecycle: Lifecycle, arn: str, endpoint: str, uri: str) -> DeregistrationWatch:
    settings = read(
        DrainSettings,
        port=PORT,
        target_group_arn=arn,
        elb_endpoint_url=endpoint,
        ecs_container_metadata_uri_v4=uri,
        deregistration_delay_seconds=900,
        deregistration_look_seconds=0.02,
    )
    return DeregistrationWatch(lifecycle, settings)


async def test_a_task_drains_once_its_registered_target_is_deregistered(
    elb: Any, elb_endpoint: str, metadata: dict[str, Any]
) -> None:
    arn = await target_group(elb, "deregistered")
    lifecycle = Lifecycle()
    watching = watch(lifecycle, arn, elb_endpoint, metadata["uri"])
    async with ClientSession() as session:
        task = spawn(watching.run(session), name="watch")
        targets = [{"Id": ADDRESS, "Port": PORT}]
        await elb.register_targets(TargetGroupArn=arn, Targets=targets)
        await until(lambda: watching._seen)
        assert not task.done()
        await elb.deregister_targets(TargetGroupArn=arn, Targets=targets)
        await asyncio.wait_for(task, 10)
    assert lifecycle.draining
    assert "deregisters" in lifecycle.reason
    await lifecycle.drained()


async def test_a_task_that_is_not_registered_yet_does_not_drain(
    elb: Any, elb_endpoint: str, metadata: dict[str, Any]
) -> None:
    arn = await target_group(elb, "not-yet")
    lifecycle = Lifecycle()
    watching = watch(lifecycle, arn, elb_endpoint, metadata["uri"])
    async with ClientSession() as session:
        assert await watching._look(session, elb) is None
        assert await watching._look(session, elb) is None
    assert not lifecycle.draining


async def test_a_task_that_ecs_wants_stopped_drains(elb: Any, elb_endpoint: str, metadata: dict[str, Any]) -> None:
    metadata["task"]["DesiredStatus"] = "STOPPED"
    lifecycle = Lifecycle()
    async with ClientSession() as session:
        await asyncio.wait_for(watch(lifecycle, "arn:none", elb_endpoint, metadata["uri"]).run(session), 10)
    assert "ECS" in lifecycle.reason
    await lifecycle.drained()


async def test_what_cannot_be_looked_up_is_no_reason_to_drain(
    elb: Any, elb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle = Lifecycle()
    watching = watch(lifecycle, "arn:none", elb_endpoint, f"http://127.0.0.1:{free_port()}")
    looks: list[Exception] = []
    look = watching._look

    async def counted(*arguments: Any) -> str | None:
        try:
            return await look(*arguments)
        except Exception as error:
            looks.append(error)
            raise

    monkeypatch.setattr(watching, "_look", counted)
    async with ClientSession() as session:
        task = spawn(watching.run(session), name="watch")
        await until(lambda: len(looks) >= 3)
        assert not task.done()
        await cancel(task)
    assert not lifecycle.draining
