import asyncio

import pytest
from aiohttp.test_utils import TestClient, TestServer

from aldea.service import LIFECYCLE
from aldea.settings import read
from onebox.process import free_port
from onebox.stores import AWS_ENV
from sqs_updater.app import make_app
from sqs_updater.settings import Settings


async def test_with_every_dependency_away_the_worker_is_alive_and_says_what_it_lacks_and_still_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
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
        answer = await client.get("/readyz")
        assert answer.status == 503
        assert {"postgres", "usage queue"} <= set((await answer.json())["failing"])
        app[LIFECYCLE].begin_drain("test", 5)
        async with asyncio.timeout(10):
            await app[LIFECYCLE].drained()
