import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from aldea.service.lifecycle import LIFECYCLE
from aldea.settings import read
from aldea.sqs import Depth
from aldea.tasks import cancel, spawn
from onebox.ports import free_port
from sqs_updater import app as application
from sqs_updater import metrics
from sqs_updater.app import make_app
from sqs_updater.settings import Settings


async def test_with_every_dependency_unavailable_the_worker_is_alive_and_says_what_it_lacks_and_still_stops() -> None:
    nothing = f"http://127.0.0.1:{free_port()}"
    settings = read(
        Settings,
        database_url=f"postgresql://u:p@127.0.0.1:{free_port()}/d",
        sqs_endpoint_url=nothing,
        usage_queue_url=f"{nothing}/q",
        usage_dlq_url=f"{nothing}/d",
        drain_seconds=5,
    )
    app = make_app(settings)
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/healthz")).status == 200
        response = await client.get("/readyz")
        assert response.status == 503
        assert {"postgres", "usage queue"} <= set((await response.json())["failing"])
        app[LIFECYCLE].begin_drain("test", 5)
        async with asyncio.timeout(60):
            await app[LIFECYCLE].drained()


@pytest.mark.parametrize(
    ("visible", "unheard", "age"),
    [(3, [400.0, 300.0], 300.0), (3, [400.0, 5.0], 1.0), (0, [400.0, 300.0], 1.0)],
    ids=["nobody receives what waits", "one receives", "nothing waits"],
)
async def test_the_queues_age_grows_while_messages_wait_and_nobody_receives(
    visible: int, unheard: list[float], age: float
) -> None:
    looked = asyncio.Event()

    class Waiting:
        async def depth(self) -> Depth:
            return Depth(visible=visible, in_flight=1, delayed=0)

    class Dead:
        async def depth(self) -> Depth:
            looked.set()
            return Depth(visible=2, in_flight=0, delayed=0)

    metrics.QUEUE_AGE.set(1.0)
    workers: Any = [SimpleNamespace(unheard_seconds=seconds) for seconds in unheard]
    usage, dead_letters = Waiting(), Dead()
    watching = spawn(application._watch(usage, dead_letters, workers), name="watch")  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        await looked.wait()
    await asyncio.sleep(0)
    await cancel(watching)
    assert metrics.QUEUE_AGE._value.get() == age
    assert (metrics.QUEUE_DEPTH._value.get(), metrics.DEAD_LETTERS._value.get()) == (visible + 1, 2)
