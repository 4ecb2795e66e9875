"""Statistics of real servers: living, dead, silent, slow, lying, endless."""

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from aldea.tasks import cancel, spawn
from aldea.upstream import FAILURES_TO_OPEN, State, Upstreams, circuit, probes
from aldea.upstream.stats import MAX_STATS_BYTES
from tests.support.faults import server_certificate
from tests.unit.aldea.upstream.clocks import Clock, assert_state
from tests.unit.aldea.upstream.zones import Zone

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server here is slow for the reason that the machine is."""
    monkeypatch.setattr(probes, "PROBE_DEADLINE_SECONDS", 60.0)


@asynccontextmanager
async def serving(
    stats: Handler, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[tuple[Upstreams, aiohttp.ClientSession]]:
    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        yield Upstreams([str(server.make_url("/"))], token="t0p", clock=clock), session


async def test_probes_distinguish_a_living_server_from_a_dead_one(clock: Clock) -> None:
    status = 200
    seen: list[tuple[str, str | None]] = []

    async def stats(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization")))
        return web.Response(status=status)

    async with serving(stats, clock=clock) as (upstreams, session):
        own = upstreams.servers[0]
        status = 500
        for _ in range(FAILURES_TO_OPEN):
            await upstreams.probe(session, own)
        assert_state(own, State.OPEN)
        status = 404  # a response is a sign of life
        clock.now = own.circuit.due
        await upstreams.probe(session, own)
        assert_state(own, State.HALF_OPEN)
        assert set(seen) == {("/stats", "Token t0p")}
    await probe_a_closed_port(upstreams)
    assert_state(own, State.OPEN)


async def probe_a_closed_port(upstreams: Upstreams) -> None:
    async with aiohttp.ClientSession() as session:
        await upstreams.probe(session, upstreams.servers[0])


async def test_watching_finds_a_dead_server_and_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_EVERY_SECONDS", 0.005)
    monkeypatch.setattr(circuit, "BACKOFF_SECONDS", 0.005)
    monkeypatch.setattr(circuit, "BACKOFF_CAP_SECONDS", 0.01)
    alive = False

    async def stats(_request: web.Request) -> web.Response:
        return web.Response(status=200 if alive else 503)

    async def until(state: State) -> None:
        async with asyncio.timeout(60):
            while own.circuit.state is not state:
                await asyncio.sleep(0.002)

    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        upstreams = Upstreams([str(server.make_url("/"))])
        own = upstreams.servers[0]
        watching = spawn(upstreams.watch(session), name="watch")
        await until(State.OPEN)
        alive = True
        await until(State.HALF_OPEN)
        await cancel(watching)


async def test_a_server_that_accepts_and_never_responds_fails_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_DEADLINE_SECONDS", 0.02)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        upstreams = Upstreams([f"http://127.0.0.1:{silent.getsockname()[1]}"])
        async with aiohttp.ClientSession() as session:
            for _ in range(FAILURES_TO_OPEN):
                await upstreams.probe(session, upstreams.servers[0])
    assert not upstreams.servers[0].healthy


async def test_a_body_that_never_ends_fails_the_probe_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_DEADLINE_SECONDS", 0.05)
    over = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"capacity": 8, ')
        await over.wait()
        return response

    async with serving(drips) as (upstreams, session):
        for _ in range(FAILURES_TO_OPEN):
            await upstreams.probe(session, upstreams.servers[0])
        over.set()
    assert not upstreams.servers[0].healthy
    assert upstreams.servers[0].stats.capacity is None


async def test_the_figures_are_read_and_refused_ones_are_logged_once_until_good_ones_come() -> None:
    body = b'{"capacity": 8, "used": 3, "draining": true}'

    async def stats(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with serving(stats) as (upstreams, session):
        own = upstreams.servers[0]

        async def read() -> list[str]:
            with capture_logs() as logs:
                await upstreams.probe(session, own)
            return [line["reason"] for line in logs if line["event"] == "statistics refused"]

        assert await read() == []
        assert (own.stats.capacity, own.stats.used, own.leaving) == (8, 3, True)
        body = b'{"capacity": -8, "used": 3, "draining": true}'
        assert await read() == ["capacity is -8; allowed: 0 to 100000"]
        assert await read() == []
        assert (own.stats.capacity, own.leaving) == (None, False)
        assert_state(own, State.CLOSED)  # it responds
        body = b"garbage"
        assert await read() == []
        assert own.stats.capacity is None
        body = b'{"capacity": -8, "used": 3}'
        assert len(await read()) == 1


async def test_an_endless_body_is_cut_and_refused() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)
            sent += 65_536

    async with serving(endless) as (upstreams, session):
        with capture_logs() as logs:
            await upstreams.probe(session, upstreams.servers[0])
    assert [line["reason"] for line in logs] == [f"the body is larger than {MAX_STATS_BYTES} bytes"]
    assert sent < 64 << 20, "what the buffers of a connection take, not what it would send"


async def test_a_compressed_body_is_not_unpacked() -> None:
    small = gzip.compress(b" " * (16 << 20), compresslevel=1)

    async def bomb(_request: web.Request) -> web.Response:
        return web.Response(body=small, headers={"Content-Encoding": "gzip"})

    async with serving(bomb) as (upstreams, session):
        with capture_logs() as logs:
            await upstreams.probe(session, upstreams.servers[0])
    assert [line["event"] for line in logs] == ["statistics refused"]


async def test_requests_that_begin_while_statistics_are_on_their_way_count_on_top() -> None:
    upstreams: Upstreams

    async def stats(_request: web.Request) -> web.Response:
        upstreams.hold(upstreams.servers[0])
        return web.json_response({"capacity": 8, "used": 3})

    async with serving(stats) as (upstreams, session):
        await upstreams.probe(session, upstreams.servers[0])
        assert upstreams.servers[0].load(upstreams._clock()) == 0.5


async def test_a_slow_server_holds_up_no_other_servers_statistics() -> None:
    over = asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async def quick(_request: web.Request) -> web.Response:
        return web.json_response({"capacity": 8, "used": 3})

    apps = [web.Application(), web.Application()]
    for app, stats in zip(apps, (slow, quick), strict=True):
        app.router.add_get("/stats", stats)
    async with TestServer(apps[0]) as one, TestServer(apps[1]) as two, aiohttp.ClientSession() as session:
        upstreams = Upstreams([str(one.make_url("/")), str(two.make_url("/"))])
        watching = spawn(upstreams.watch(session), name="watch")
        async with asyncio.timeout(60):
            while upstreams.servers[1].stats.capacity is None:
                await asyncio.sleep(0.002)
        assert upstreams.servers[0].stats.capacity is None
        over.set()
        await cancel(watching)


async def test_statistics_come_from_the_address_with_the_name_in_host_and_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server_side, certificate = server_certificate(tmp_path)
    monkeypatch.setattr(probes, "trust", lambda: ssl.create_default_context(cafile=str(certificate)))
    hosts: list[str] = []

    async def stats(request: web.Request) -> web.Response:
        hosts.append(request.host)
        return web.json_response({"capacity": 8, "used": 3})

    app = web.Application()
    app.router.add_get("/stats", stats)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=server_side)
    async with server, aiohttp.ClientSession() as session:
        for name in ("stt.test", "other.test"):
            upstreams = Upstreams([f"https://{name}:{server.port}"], lookup=Zone(**{name: ["127.0.0.1"]}))
            await upstreams.renew()
            await upstreams.probe(session, upstreams.servers[0])
            assert (upstreams.servers[0].stats.capacity == 8) == (name == "stt.test")
    assert [host.partition(":")[0] for host in hosts] == ["stt.test"]


async def test_each_address_of_a_name_is_probed_as_it_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_EVERY_SECONDS", 0.005)
    zone = Zone(stt=["127.0.0.1"])

    async def stats(request: web.Request) -> web.Response:
        local = request.transport.get_extra_info("sockname")[0] if request.transport is not None else ""
        return web.json_response({"capacity": 8 if local == "127.0.0.1" else 16, "used": 3})

    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app, host="0.0.0.0") as server, aiohttp.ClientSession() as session:
        upstreams = Upstreams([f"http://stt:{server.port}"], lookup=zone, resolve_seconds=0.005)
        watching = spawn(upstreams.watch(session), name="watch")

        async def capacities(*wanted: int) -> None:
            async with asyncio.timeout(60):
                while [each.stats.capacity for each in upstreams.servers] != list(wanted):
                    await asyncio.sleep(0.002)

        await capacities(8)
        zone.names["stt"] = ["127.0.0.1", "127.0.0.2"]
        await capacities(8, 16)
        zone.names["stt"] = ["127.0.0.2"]
        await capacities(16)
        await cancel(watching)
