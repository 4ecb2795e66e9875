"""A whole proxy and its pool of STT servers: names, places, drains."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from aldea.service.lifecycle import app_runner
from aldea.settings import read
from aldea.upstream import probes
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import Customer, eventually
from tests.support.streams import listen
from ws_proxy.app import make_app
from ws_proxy.settings import Settings


@pytest.fixture
async def second() -> AsyncIterator[FakeStt]:
    """Another lane's server."""
    server = await FakeStt().start()
    yield server
    await server.stop()


@asynccontextmanager
async def proxying(redis_server: Process, *servers: str) -> AsyncIterator[Any]:
    """A proxy in this process, which reads its servers' statistics all the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(probes, "PROBE_EVERY_SECONDS", 0.05)
        url = redis_server.url  # type: ignore[attr-defined]
        runner = app_runner(make_app(read(Settings, port=0, redis_url=url, stt_upstreams=servers)))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield SimpleNamespace(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()


async def lands_on(http: ClientSession, proxy: Any, customer: Customer, server: FakeStt) -> bool:
    """Whether a new stream goes to `server`."""
    before = len(server.requests)
    async with listen(http, proxy, customer) as socket:
        await socket.close()
    return len(server.requests) > before


async def reads_statistics(server: FakeStt) -> None:
    before = server.probes
    await eventually(lambda: server.probes > before + 1, 60)


async def test_a_server_is_reached_at_each_address_of_its_name(
    http: ClientSession, redis_server: Process, stt: FakeStt, customer: Customer
) -> None:
    port = urlsplit(stt.url).port
    with capture_logs() as logs:
        async with proxying(redis_server, f"http://localhost:{port}") as proxy:
            for _ in range(4):  # perhaps also by ::1, where nobody listens
                assert await lands_on(http, proxy, customer, stt)
    assert {request.host for request in stt.requests} == {f"localhost:{port}"}
    found = [line["server"] for line in logs if line["event"] == "server found"]
    assert f"localhost:{port}/127.0.0.1" in found


async def test_streams_go_where_there_are_places_and_never_to_a_server_that_drains(
    http: ClientSession, redis_server: Process, stt: FakeStt, second: FakeStt, customer: Customer
) -> None:
    stt.stats = {"capacity": 8, "used": 2}
    second.stats = {"capacity": 8, "used": 1}
    with capture_logs() as logs:
        async with proxying(redis_server, stt.url, second.url) as proxy:
            await reads_statistics(stt)
            assert await lands_on(http, proxy, customer, stt), "the lane's own has places"
            stt.stats = {"capacity": 8, "used": 8}
            await reads_statistics(stt)
            assert await lands_on(http, proxy, customer, second)
            stt.stats = {"capacity": 8, "used": 0, "draining": True}
            second.stats = {"capacity": 8, "used": 8}
            await reads_statistics(stt)
            await reads_statistics(second)
            assert await lands_on(http, proxy, customer, second), "a full one is tried, one that drains is not"
            stt.stats = {"capacity": -1, "used": "many", "draining": True}
            await reads_statistics(stt)
            await reads_statistics(stt)
            assert await lands_on(http, proxy, customer, stt), "used as a server that says nothing"
    events = [line["event"] for line in logs]
    assert "server is to be left" in events
    assert events.count("statistics refused") == 1
