"""Streams whose servers are to be left or are full: a lane that is switched off, a name with another address."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from aldea.service.lifecycle import app_runner
from aldea.settings import read
from aldea.upstream import names
from onebox.process import Process
from tests.fakes.words import WordServer
from tests.support.faults import measured, proxied
from tests.support.proxies import REDIS_COMMAND_SECONDS, Customer, eventually
from tests.support.talks import PATIENCE, Talks, busy, talks
from tests.unit.aldea.service.test_lane import RULES
from ws_proxy.app import make_app
from ws_proxy.settings import Settings

STREAMS = 6


class LoadBalancer:
    """Says which weight the lane has."""

    def __init__(self) -> None:
        self.weight = 100
        self.url = ""

    async def rules(self, _request: web.Request) -> web.Response:
        return web.Response(text=RULES.format(self.weight), content_type="text/xml")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["LoadBalancer"]:
        app = web.Application()
        app.router.add_post("/", self.rules)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/"))
            yield self


async def all_at(http: ClientSession, engine: Process, streams: Talks) -> None:
    """Wait until this one has all streams, and each goes on."""

    async def there() -> bool:
        async with http.get(f"{engine.url}/stats") as response:  # type: ignore[attr-defined]
            return bool((await response.json())["used"] == STREAMS)

    await eventually(there, PATIENCE)
    await streams.all_hear_more()


async def test_streams_leave_a_lane_that_is_switched_off_and_a_server_that_has_no_place_for_them_any_more(
    http: ClientSession, engines: list[Process], redis_server: Process, redis_client: redis.Redis, tmp_path: Path
) -> None:
    customer = await Customer(redis_client).write()
    own, other = engines
    urls = f"{own.url},{other.url}"  # type: ignore[attr-defined]
    async with LoadBalancer().serving() as balancer:
        env = {
            "TARGET_GROUP_ARN": "arn:own",
            "LISTENER_ARN": "arn:listener",
            "ELB_ENDPOINT_URL": balancer.url,
            "LANE_LOOK_SECONDS": "0.1",
            "FAILOVER_HOLD_SECONDS": "60",
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
        }
        async with proxied(tmp_path, redis_server.url, urls, **env) as proxy:  # type: ignore[attr-defined]
            streams = await talks(http, proxy, customer, STREAMS)
            assert await busy(http, engines) is own
            balancer.weight = 0
            await all_at(http, other, streams)
            balancer.weight = 100
            await eventually(lambda: "lane is on again" in (tmp_path / "proxy.log").read_text(), PATIENCE)
            async with http.post(f"{other.url}/fault?kind=full"):  # type: ignore[attr-defined]
                pass  # they are lost, and it responds 503 from then on
            await all_at(http, own, streams)
            await streams.are_exact(redis_client, {2})
            figures = await measured(http, proxy)
            assert figures['aldea_ws_failovers_total{cause="planned"}'] == STREAMS
            assert figures['aldea_ws_failovers_total{cause="lost"}'] == STREAMS


async def test_streams_follow_a_name_to_its_new_address_and_lose_no_word(
    http: ClientSession,
    redis_server: Process,
    redis_client: redis.Redis,
    customer: Customer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["127.0.0.1"]
    resolve = socket.getaddrinfo

    def resolved(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        found = addresses if host == "stt.test" else [host]
        return [each for address in found for each in resolve(address, port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(names, "WITHDRAW_SECONDS", 0.0)
    old = await WordServer().start()
    new = await WordServer().start(old.port, "127.0.0.2")
    url: str = redis_server.url  # type: ignore[attr-defined]
    servers = (f"http://stt.test:{old.port}",)
    settings = read(
        Settings, port=0, redis_url=url, redis_command_seconds=REDIS_COMMAND_SECONDS, stt_upstreams=servers,
        upstream_name_seconds=1,
    )  # fmt: skip
    runner = app_runner(make_app(settings))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy: Any = SimpleNamespace(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        streams = await talks(http, proxy, customer, STREAMS)
        assert (old.streams, new.streams) == (STREAMS, 0)
        addresses[:] = ["127.0.0.2"]
        await eventually(lambda: (old.streams, new.streams) == (0, STREAMS), PATIENCE)
        await streams.all_hear_more()
        await streams.are_exact(redis_client, {1})
    finally:
        await runner.cleanup()
        await old.stop()
        await new.stop()
