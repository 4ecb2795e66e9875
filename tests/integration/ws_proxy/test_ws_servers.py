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
from aldea.upstream import circuit, probes
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import REDIS_COMMAND_SECONDS, Customer, eventually
from tests.support.streams import SECOND, heard, listen, refused
from ws_proxy.app import make_app
from ws_proxy.settings import Settings


@pytest.fixture
async def second() -> AsyncIterator[FakeStt]:
    """Another lane's server."""
    server = await FakeStt().start()
    yield server
    await server.stop()


@asynccontextmanager
async def proxying(redis_server: Process, *servers: str, **settings: float) -> AsyncIterator[Any]:
    """A proxy in this process, which reads its servers' statistics all the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(probes, "PROBE_EVERY_SECONDS", 0.05)
        url = redis_server.url  # type: ignore[attr-defined]
        settings = {"redis_command_seconds": REDIS_COMMAND_SECONDS, **settings}
        runner = app_runner(make_app(read(Settings, port=0, redis_url=url, stt_upstreams=servers, **settings)))
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


async def test_streams_go_on_and_begin_at_the_only_server_the_moment_it_is_back(
    http: ClientSession, redis_server: Process, stt: FakeStt, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine so slow that the server is back when its circuit is not to be looked at for long.
    monkeypatch.setattr(circuit, "BACKOFF_SECONDS", 3600.0)
    monkeypatch.setattr(circuit, "BACKOFF_CAP_SECONDS", 3600.0)
    port = urlsplit(stt.url).port
    assert port is not None
    with capture_logs() as logs:
        async with (
            proxying(redis_server, stt.url, failover_hold_seconds=60.0) as proxy,
            listen(http, proxy, customer) as running,
        ):
            await running.send_bytes(SECOND)
            assert (await running.receive_json())["type"] == "Metadata"
            assert (await running.receive_json())["type"] == "Results"
            await stt.stop()
            await eventually(lambda: any(line["event"] == "circuit open" for line in logs), 60)
            status, headers, _ = await refused(http, proxy, headers=customer.headers)
            assert (status, "Retry-After" in headers) == (503, True)
            back = await FakeStt().start(port)
            try:
                async with listen(http, proxy, customer) as begun:
                    assert (await begun.receive_json())["type"] == "Metadata"
                await running.send_str('{"type":"CloseStream"}')
                assert (await heard(running))[-1]["type"] == "Metadata"
                assert running.close_code == 1000
            finally:
                await back.stop()


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
