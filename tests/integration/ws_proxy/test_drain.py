"""The own target's deregistration, looked up at a real load balancer API (the emulator's): the watch, a whole proxy."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiobotocore.session import get_session
from aiohttp import ClientSession, TCPConnector, WSServerHandshakeError, web

from aldea.service.drain import DeregistrationWatch, DrainSettings
from aldea.service.lifecycle import Lifecycle
from aldea.settings import read
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests.fakes.stt import BYTES_PER_SECOND, FakeStt
from tests.support.faults import measured
from tests.support.fleets import fleet
from tests.support.proxies import Customer, eventually, readings, running

ADDRESS = "127.0.0.9"
PORT = 8101


@pytest.fixture(scope="module")
def elb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = Process(stores.sqs_spec(port, services="elbv2"), log=tmp_path_factory.mktemp("elb") / "log").start()
    yield stores.sqs_url(port)
    process.stop()


@pytest.fixture
async def elb(elb_endpoint: str) -> AsyncIterator[Any]:
    async with get_session().create_client("elbv2", region_name="us-west-2", endpoint_url=elb_endpoint) as client:
        yield client


@pytest.fixture
async def metadata() -> AsyncIterator[dict[str, Any]]:
    """The ECS agent's metadata endpoint: its response, that the test changes, its address, how often it was read."""
    task: dict[str, Any] = {"DesiredStatus": "RUNNING", "Containers": [{"Networks": [{"IPv4Addresses": [ADDRESS]}]}]}
    found: dict[str, Any] = {"task": task, "looks": 0}
    app = web.Application()

    async def show(_request: web.Request) -> web.Response:
        found["looks"] += 1
        return web.json_response(task)

    app.router.add_get("/v4/task", show)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    found["uri"] = f"http://127.0.0.1:{port}/v4"
    yield found
    await runner.cleanup()


async def target_group(elb: Any, name: str) -> str:
    made = await elb.create_target_group(Name=name, Protocol="HTTP", Port=PORT, TargetType="ip")
    return str(made["TargetGroups"][0]["TargetGroupArn"])


async def until(condition: Any, seconds: float = 60.0) -> None:
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
        await asyncio.wait_for(task, 60)
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
        await asyncio.wait_for(watch(lifecycle, "arn:none", elb_endpoint, metadata["uri"]).run(session), 60)
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


async def test_a_deregistered_proxy_finishes_every_stream_before_anybody_kills_it_and_writes_its_last_metrics(
    elb: Any,
    elb_endpoint: str,
    metadata: dict[str, Any],
    stt: FakeStt,
    redis_server: Process,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    customer = await Customer(redis_client).write()
    arn = await target_group(elb, "whole-proxy")
    env = {
        "REDIS_URL": redis_server.url,  # type: ignore[attr-defined]
        "STT_UPSTREAMS": stt.url,
        "TARGET_GROUP_ARN": arn,
        "ELB_ENDPOINT_URL": elb_endpoint,
        "ECS_CONTAINER_METADATA_URI_V4": metadata["uri"],
        "DEREGISTRATION_DELAY_SECONDS": "180",  # the drain has 60 less
        "DEREGISTRATION_LOOK_SECONDS": "0.1",
        "DRAIN_FINISH_SECONDS": "60",
        "BOUNDARY_SECONDS": "60",
        "CLOSE_SECONDS": "60",
        "EMF_METRICS": "true",
        "METRICS_PORT": str(free_port()),
        "SERVICE_NAME": "ws-proxy-lane1",
    }
    with running("ws_proxy", tmp_path / "log", **env) as proxy:
        targets = [{"Id": ADDRESS, "Port": proxy.port}]
        await elb.register_targets(TargetGroupArn=arn, Targets=targets)
        async with (
            ClientSession(connector=TCPConnector(limit=0)) as http,
            fleet(http, proxy, customer, 20) as streams,
        ):
            # The look before the last has seen it registered.
            looks = metadata["looks"]
            await until(lambda: metadata["looks"] >= looks + 2)
            await elb.deregister_targets(TargetGroupArn=arn, Targets=targets)
            await streams.all_ended()
            assert streams.codes == Counter({1012: 20})
            with pytest.raises(WSServerHandshakeError) as refused:
                await http.ws_connect(f"{proxy.url}/v1/listen", headers=customer.headers)
            assert refused.value.status == 503
            async with http.get(f"{proxy.url}/healthz") as response:
                assert response.status == 503

            async def lag_sampled() -> bool:
                return (await measured(http, proxy))["aldea_event_loop_lag_seconds_count"] > 0

            # It is sampled by time alone, and all of the above may take less than the first sample does.
            await eventually(lag_sampled)

        async def all_billed() -> list[int] | None:
            finals = [reading.audio_ms for reading in await readings(redis_client) if reading.rank is Rank.FINAL]
            return finals if len(finals) == 20 else None

        assert sum(await eventually(all_billed)) == stt.audio_bytes * 1000 // BYTES_PER_SECOND
        assert await customer.leases() == 0
        assert proxy.process.running  # ECS ends it, later
        proxy.process.signal(signal.SIGTERM)
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0
        lines = [json.loads(line) for line in proxy.logged().splitlines() if line.startswith("{")]
        counted: Counter[str] = Counter()
        first_words: list[float] = []  # one value a stream
        for document in (line for line in lines if "_aws" in line):
            assert document["ServiceName"] == "ws-proxy-lane1"
            first_words += document.pop("aldea_ws_first_words_seconds", [])
            counted.update({name: value for name, value in document.items() if name.startswith("aldea_")})
        assert counted["aldea_ws_handshakes_total"] == 21
        assert counted["aldea_ws_closes_total"] == 40
        assert counted["aldea_ws_audio_seconds_total"] == pytest.approx(stt.audio_bytes / BYTES_PER_SECOND)
        assert {"aldea_active_streams", "aldea_readings_waiting", "aldea_lease_losses_total"} <= counted.keys()
        assert counted["aldea_event_loop_lag_seconds_count"] > 0
        assert len(first_words) == counted["aldea_ws_first_words_seconds_count"] == 20
