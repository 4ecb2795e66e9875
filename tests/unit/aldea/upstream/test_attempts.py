"""One request's way through the servers, and whose work it counts as."""

import asyncio
import random

import pytest

from aldea.upstream import Upstreams
from aldea.upstream.choice import TRIES
from aldea.upstream.stats import Stats
from tests.unit.aldea.upstream.clocks import Clock
from tests.unit.aldea.upstream.zones import Zone


def lane(*ports: int) -> Upstreams:
    return Upstreams([f"http://127.0.0.1:{port}" for port in ports], chance=random.Random(1).random)


async def test_each_server_counts_the_request_while_it_is_tried_and_the_kept_one_until_its_release() -> None:
    upstreams = lane(1, 2)
    seen = []
    with upstreams.attempts() as attempts:
        async for server in attempts:
            seen.append([each.held for each in upstreams.servers])
            if attempts.last:
                assert attempts.keep() is server
    assert seen == [[1, 0], [0, 1]]
    assert [server.held for server in upstreams.servers] == [0, 1]
    upstreams.release(upstreams.servers[1])
    assert [server.held for server in upstreams.servers] == [0, 0]


async def test_a_request_that_fails_or_finds_no_server_counts_nowhere() -> None:
    upstreams = lane(1, 2)
    with pytest.raises(asyncio.CancelledError), upstreams.attempts() as attempts:
        async for _server in attempts:
            raise asyncio.CancelledError
    with upstreams.attempts() as attempts:
        async for _server in attempts:
            pass
        with pytest.raises(RuntimeError):
            attempts.keep()
    assert [server.held for server in upstreams.servers] == [0, 0]


async def test_a_server_to_be_avoided_or_left_is_not_tried() -> None:
    upstreams = lane(1, 2, 3)
    first, second, third = upstreams.servers
    with upstreams.attempts(avoiding=second) as attempts:
        tried = []
        async for server in attempts:
            tried.append(server)
            upstreams.note_stats(third, Stats(draining=True), 0)  # while the first one is tried
    assert tried == [first]


async def tried(upstreams: Upstreams) -> list[str | None]:
    """The addresses that a request tries, each of which takes no connection."""
    with upstreams.attempts() as attempts:
        found = []
        async for server in attempts:
            found.append(server.address)
            upstreams.failed(server, "no connection")
    return found


async def test_all_addresses_of_a_name_are_tried_before_the_other_lanes() -> None:
    zone = Zone(own=["10.0.0.1", "10.0.0.2"], other=["10.0.1.1"])
    upstreams = Upstreams(["http://own:8800", "http://other:8800"], lookup=zone)
    found = await tried(upstreams)
    assert sorted(map(str, found[:2])) == ["10.0.0.1", "10.0.0.2"]
    assert found[2:] == ["10.0.1.1"]


async def test_a_server_that_moved_is_found_by_the_request_that_meets_the_old_address(clock: Clock) -> None:
    zone = Zone(own=["10.0.0.1"])
    upstreams = Upstreams(["http://own:8800"], lookup=zone, clock=clock)
    await upstreams.renew()
    zone.names["own"] = ["10.0.0.2"]
    clock.now += 60
    assert await tried(upstreams) == ["10.0.0.1", "10.0.0.2"]


async def test_a_request_that_finds_a_server_waits_for_no_lookup(clock: Clock) -> None:
    zone = Zone(own=["10.0.0.1"])
    upstreams = Upstreams(["http://own:8800"], lookup=zone, clock=clock)
    await upstreams.renew()
    clock.now += 60
    upstreams.failed(upstreams.servers[0], "lost a stream")
    zone.hanging.clear()
    with upstreams.attempts() as attempts:
        assert (await anext(attempts)).address == "10.0.0.1"
    assert zone.lookups == 1


async def test_of_a_name_with_many_dead_addresses_a_few_are_tried_and_then_the_other_lane(clock: Clock) -> None:
    zone = Zone(own=[f"10.0.0.{n}" for n in range(60)], other=["10.0.1.1"])
    upstreams = Upstreams(["http://own:8800", "http://other:8800"], lookup=zone, clock=clock)
    found = await tried(upstreams)
    assert len(found) == TRIES + 1
    assert found[TRIES] == "10.0.1.1"


async def test_where_all_are_full_each_is_tried_all_the_same() -> None:
    upstreams = lane(1, 2)
    for server in upstreams.servers:
        upstreams.note_stats(server, Stats(8, 8), 0)
    with upstreams.attempts() as attempts:
        assert [server async for server in attempts] == list(upstreams.servers)


async def test_many_requests_at_once_spread_over_the_lanes_own_servers_and_only_then_over_the_other_lanes() -> None:
    zone = Zone(own=["10.0.0.1", "10.0.0.2", "10.0.0.3"], other=["10.0.1.1"])
    upstreams = Upstreams(["http://own:8800", "http://other:8800"], lookup=zone, chance=random.Random(11).random)
    await upstreams.renew()
    for server in upstreams.servers:
        upstreams.note_stats(server, Stats(100, 0), 0)

    async def one() -> None:
        with upstreams.attempts() as attempts:
            async for _server in attempts:
                await asyncio.sleep(0)  # all of them are under way
                attempts.keep()
                return

    await asyncio.gather(*(one() for _ in range(240)))
    held = [server.held for server in upstreams.servers]
    assert sum(held) == 240
    assert held[3] == 0
    assert all(60 <= each <= 100 for each in held[:3])
    await asyncio.gather(*(one() for _ in range(120)))
    assert [server.held for server in upstreams.servers] == [100, 100, 100, 60]
