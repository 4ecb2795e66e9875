"""A server that is back is found by the first request that would be refused, whatever was seen of it before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea.service.lifecycle import NotReady
from aldea.tasks import cancel, spawn
from aldea.upstream import FAILURES_TO_OPEN, State, Upstream, Upstreams, look, pool, probes
from aldea.upstream.look import Looks
from aldea.upstream.stats import Stats
from tests.unit.aldea.upstream.clocks import Clock, assert_state

LONG: Final = 86_400.0


class Servers:
    """STT servers of which each can be dead, alive, draining, or hang."""

    def __init__(self, upstreams: Upstreams, does: dict[int, str], probed: list[int]) -> None:
        self.upstreams = upstreams
        self.does = does
        self.probed = probed

    async def tried(self, *, taken_by: Upstream | None = None, avoiding: Upstream | None = None) -> list[Upstream]:
        """The servers that a request tries; all but `taken_by` fail it."""
        found = []
        with self.upstreams.attempts(avoiding=avoiding) as attempts:
            async for server in attempts:
                found.append(server)
                if server is taken_by:
                    self.upstreams.succeeded(server)
                    break
                self.upstreams.failed(server, "no connection")
        return found

    def open_circuits(self) -> None:
        for server in self.upstreams.servers:
            for _ in range(FAILURES_TO_OPEN):
                self.upstreams.failed(server, "no connection")
            assert_state(server, State.OPEN)


@asynccontextmanager
async def watched(number: int) -> AsyncIterator[Servers]:
    """They are probed once at the beginning, and then by requests only: the clock of their circuits does not run."""
    does: dict[int, str] = {}
    probed: list[int] = []
    released = asyncio.Event()

    def serving(index: int) -> web.Application:
        async def stats(_request: web.Request) -> web.Response:
            probed.append(index)
            if does.get(index) == "hangs":
                await released.wait()
            draining = does.get(index) == "draining"
            return web.json_response({"draining": draining}, status=503 if does.get(index) == "dead" else 200)

        app = web.Application()
        app.router.add_get("/stats", stats)
        return app

    servers = [TestServer(serving(index)) for index in range(number)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(probes, "PROBE_EVERY_SECONDS", LONG)
        patched.setattr(probes, "PROBE_DEADLINE_SECONDS", LONG)
        async with aiohttp.ClientSession() as session:
            for server in servers:
                await server.start_server()
            upstreams = Upstreams([str(server.make_url("/")) for server in servers], clock=Clock())
            watching = spawn(upstreams.watch(session), name="watch")
            async with asyncio.timeout(60):
                while not all(server.read_at > 0 for server in upstreams.servers):
                    await asyncio.sleep(0.001)
            probed.clear()
            yield Servers(upstreams, does, probed)
            released.set()
            await cancel(watching)
            for server in servers:
                await server.close()


def circuit_open(servers: Servers) -> None:
    servers.open_circuits()


def said_that_it_stops(servers: Servers) -> None:
    servers.upstreams.note_restart(servers.upstreams.servers[0])


@pytest.mark.parametrize("seen", [circuit_open, said_that_it_stops])
async def test_the_only_server_is_tried_as_soon_as_it_is_back(seen: Callable[[Servers], None]) -> None:
    async with watched(1) as servers:
        [only] = servers.upstreams.servers
        seen(servers)
        assert servers.upstreams.candidates() == [], "its time has not come"
        assert await servers.tried(taken_by=only) == [only]
        assert_state(only, State.CLOSED)
        assert servers.upstreams.candidates() == [only]


@pytest.mark.parametrize("does", ["dead", "draining"])
async def test_one_that_is_not_back_is_not_tried(does: str) -> None:
    async with watched(1) as servers:
        circuit_open(servers)
        servers.does[0] = does
        assert await servers.tried() == []
        assert servers.probed == [0]


async def test_the_one_that_is_back_is_found_among_those_that_are_dead_or_hang() -> None:
    async with watched(4) as servers:
        circuit_open(servers)
        servers.does.update({0: "hangs", 1: "dead", 3: "draining"})
        back = servers.upstreams.servers[2]
        assert await servers.tried(taken_by=back) == [back]


async def test_those_that_failed_the_request_are_not_tried_again_and_their_time_does_not_grow() -> None:
    async with watched(3) as servers:
        circuit_open(servers)
        due = [server.circuit.due for server in servers.upstreams.servers]
        avoided = servers.upstreams.servers[0]
        assert set(await servers.tried(avoiding=avoided)) == set(servers.upstreams.servers[1:])
        assert [server.circuit.due for server in servers.upstreams.servers] == due
        assert [server.held for server in servers.upstreams.servers] == [0, 0, 0]


async def test_nothing_is_looked_at_for_a_request_that_a_server_takes_or_that_tried_all() -> None:
    async with watched(2) as servers:
        own, other = servers.upstreams.servers
        for _ in range(FAILURES_TO_OPEN):
            servers.upstreams.failed(other, "no connection")
        assert await servers.tried(taken_by=own) == [own]
        assert await servers.tried(avoiding=other) == [own]
        assert servers.probed == []


async def test_one_without_a_place_is_not_the_last_while_another_one_may_be_back() -> None:
    async with watched(2) as servers:
        own, other = servers.upstreams.servers
        for _ in range(FAILURES_TO_OPEN):
            servers.upstreams.failed(other, "no connection")
        found = []
        with servers.upstreams.attempts() as attempts:
            async for server in attempts:
                found.append((server, attempts.last))
                servers.upstreams.busy(server, None)
        assert found == [(own, False), (other, True)]


async def test_servers_whose_lane_is_off_or_whose_address_is_gone_are_not_looked_at() -> None:
    async with watched(2) as servers:
        circuit_open(servers)
        servers.upstreams.switch_own_lane(True)
        servers.upstreams.servers[1].withdrawn = True
        assert await servers.tried() == []
        assert servers.probed == []


async def test_readiness_is_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(1) as servers:
        circuit_open(servers)
        await servers.upstreams.check_ready()
        servers.does[0] = "dead"
        with pytest.raises(NotReady, match="circuit is open"):
            await servers.upstreams.check_ready()
        servers.does[0] = "hangs"
        monkeypatch.setattr(pool, "LOOK_SECONDS", 0.01)
        with pytest.raises(NotReady, match="circuit is open"):
            await servers.upstreams.check_ready()


async def test_many_requests_share_a_look_and_the_next_one_waits_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "PAUSE_PER_SERVER_SECONDS", LONG)
    monkeypatch.setattr(look, "LONGEST_PAUSE_SECONDS", LONG)
    async with watched(1) as servers:
        circuit_open(servers)
        servers.does[0] = "dead"
        assert await asyncio.gather(*(servers.tried() for _ in range(100))) == [[]] * 100
        assert servers.probed == [0]
        waiting = spawn(servers.tried(), name="the next request")
        await asyncio.sleep(0)
        assert not waiting.done()
        assert servers.probed == [0]
        await cancel(waiting)


async def test_a_request_gets_a_look_that_begins_after_it_came() -> None:
    begun: list[asyncio.Event] = []

    async def probe(_server: Upstream) -> bool:
        begun.append(asyncio.Event())
        await begun[-1].wait()
        return len(begun) > 1

    upstreams = Upstreams(["http://127.0.0.1:1"])
    looks = Looks(lambda: upstreams.servers, probe)
    early = looks.begin()
    assert looks.begin() is early, "it has not begun"
    async with asyncio.timeout(60):
        while not begun:
            await asyncio.sleep(0.001)
        late = looks.begin()
        assert late is not early
        while len(begun) < 2:
            await asyncio.sleep(0.001)
        begun[1].set()
        assert await late.next(()) is upstreams.servers[0]
        assert await late.next(upstreams.servers) is None
    waiting = spawn(early.next(()), name="who waits for a look that is ended")
    await looks.close()
    assert await waiting is None


async def test_a_look_that_has_not_begun_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(1) as servers:
        monkeypatch.setattr(look, "PAUSE_PER_SERVER_SECONDS", LONG)
        monkeypatch.setattr(look, "LONGEST_PAUSE_SECONDS", LONG)
        circuit_open(servers)
        servers.does[0] = "dead"
        assert await servers.tried() == []
        coming = servers.upstreams.look(())
        assert coming is not None
    assert await coming.next(()) is None
    assert servers.upstreams.look(()) is None, "nobody watches"


async def test_a_server_without_statistics_is_back_all_the_same() -> None:
    upstreams = Upstreams(["http://127.0.0.1:1"])
    [only] = upstreams.servers
    assert not only.may_be_back, "it is in use"
    upstreams.note_stats(only, Stats(draining=True), 0)
    assert only.may_be_back
