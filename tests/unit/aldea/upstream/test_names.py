"""Servers that come and go with the addresses of their name."""

import asyncio
import socket

import pytest
from structlog.testing import capture_logs
from yarl import URL

from aldea.tasks import cancel, spawn
from aldea.upstream import Circuit, State, Upstream
from aldea.upstream.metrics import CIRCUIT_OPEN
from aldea.upstream.names import MAX_SERVERS, WAIT_SECONDS, WITHDRAW_SECONDS, Name, _has_way, system_lookup
from tests.unit.aldea.upstream.clocks import Clock
from tests.unit.aldea.upstream.zones import Zone


class Estate:
    """A name, what was noted of its servers, and how often its set of servers changed."""

    def __init__(self, clock: Clock, host: str = "stt") -> None:
        self.zone = Zone()
        self.noted: list[tuple[str, bool]] = []
        self.changes = 0
        self.name = Name(
            URL(f"http://{host}:8800"),
            lambda url: Upstream(url, Circuit(clock, lambda: 0.5)),
            lookup=self.zone,
            clock=clock,
            note=self._note,
            changed=self._changed,
        )

    def _note(self, server: Upstream, withdrawn: bool) -> None:
        server.withdrawn = withdrawn
        self.noted.append((str(server.address), withdrawn))

    def _changed(self) -> None:
        self.changes += 1

    @property
    def addresses(self) -> list[str | None]:
        return [server.address for server in self.name.servers]


@pytest.fixture
def estate(clock: Clock) -> Estate:
    return Estate(clock)


async def test_every_address_is_a_server_and_the_first_keeps_what_was_known_of_the_name(estate: Estate) -> None:
    (nameless,) = estate.name.servers
    nameless.circuit.failed()
    nameless.held = 3
    assert (nameless.address, nameless.host, nameless.name) == (None, "stt", "stt:8800")
    estate.name.update(["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"])
    assert estate.addresses == ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert estate.name.servers[0] is nameless
    assert [server.name for server in estate.name.servers][1:] == ["stt:8800/10.0.0.2", "stt:8800/fd00::1"]
    assert {str(server.base_url) for server in estate.name.servers} == {"http://stt:8800"}
    assert estate.changes == 1


async def test_a_new_address_is_a_new_server_and_the_others_stay_as_they_are(estate: Estate) -> None:
    estate.name.update(["10.0.0.1"])
    (first,) = estate.name.servers
    estate.name.update(["10.0.0.1", "10.0.0.2"])
    assert estate.name.servers[0] is first
    estate.name.update(["10.0.0.2", "10.0.0.1"])
    assert estate.changes == 1
    assert estate.noted == []


async def test_a_missing_address_gets_nothing_new_at_once_and_is_left_only_if_it_stays_away(
    estate: Estate, clock: Clock
) -> None:
    estate.name.update(["10.0.0.1", "10.0.0.2"])
    second = estate.name.servers[1]
    second.held = 1
    estate.name.update(["10.0.0.1"])
    assert estate.addresses == ["10.0.0.1"]
    assert second in estate.name.watched
    clock.now += WITHDRAW_SECONDS - 1
    estate.name.update(["10.0.0.1"])
    assert estate.noted == []
    estate.name.update(["10.0.0.1", "10.0.0.2"])
    assert estate.name.servers[1] is second, "a name server may return a part of the addresses"
    estate.name.update(["10.0.0.1"])
    clock.now += WITHDRAW_SECONDS - 1
    estate.name.update(["10.0.0.1"])
    assert estate.noted == []
    clock.now += 2
    estate.name.update(["10.0.0.1"])
    assert estate.noted == [("10.0.0.2", True)]
    assert second not in estate.name.watched
    estate.name.update(["10.0.0.1", "10.0.0.2"])
    assert estate.noted == [("10.0.0.2", True), ("10.0.0.2", False)]
    assert estate.name.servers[1] is second, "its streams still run on it"


async def test_a_server_without_streams_is_forgotten_with_its_metrics(estate: Estate, clock: Clock) -> None:
    estate.name.update(["10.0.0.1", "10.9.9.9"])
    second = estate.name.servers[1]
    assert ("stt:8800/10.9.9.9",) in CIRCUIT_OPEN._metrics
    estate.name.update(["10.0.0.1"])
    clock.now += WITHDRAW_SECONDS
    estate.name.update(["10.0.0.1"])
    assert ("stt:8800/10.9.9.9",) not in CIRCUIT_OPEN._metrics
    estate.name.update(["10.0.0.1", "10.9.9.9"])
    assert estate.name.servers[1] is not second


async def test_all_addresses_at_once_may_be_others(estate: Estate, clock: Clock) -> None:
    estate.name.update(["10.0.0.1", "10.0.0.2"])
    for server in estate.name.servers:
        server.held = 1
    estate.name.update(["10.0.1.1"])
    assert estate.addresses == ["10.0.1.1"]
    assert len(estate.name.watched) == 3
    clock.now += WITHDRAW_SECONDS
    estate.name.update(["10.0.1.1"])
    assert sorted(estate.noted) == [("10.0.0.1", True), ("10.0.0.2", True)]
    assert len(estate.name.watched) == 1


async def test_of_too_many_addresses_the_same_ones_are_used_each_time_and_it_is_logged_once(estate: Estate) -> None:
    many = [f"10.0.{n}.1" for n in range(200)]
    with capture_logs() as logs:
        estate.name.update(many)
        before = estate.addresses
        estate.name.update(many[::-1])
    assert len(before) == MAX_SERVERS
    assert estate.addresses == before
    assert [line["event"] for line in logs].count("name has too many addresses") == 1


@pytest.mark.parametrize("trouble", ["fails", "empty"])
async def test_while_the_resolver_fails_what_was_known_is_used_and_it_is_logged_once(
    estate: Estate, trouble: str, clock: Clock
) -> None:
    estate.zone.names["stt"] = ["10.0.0.1"]
    await estate.name.renew()
    (server,) = estate.name.servers
    estate.zone.fails = trouble == "fails"
    estate.zone.names.clear()
    with capture_logs() as logs:
        for _ in range(10):
            clock.now += WITHDRAW_SECONDS
            estate.name.doubt()
            await estate.name.renew()
    assert estate.zone.lookups == 11
    assert estate.name.servers == (server,)
    assert estate.noted == []
    assert [line["event"] for line in logs] == ["name not resolved, what is known of it is used"]


async def test_a_name_that_was_never_resolved_has_one_server_that_is_reached_by_name(estate: Estate) -> None:
    await estate.name.renew()
    assert estate.addresses == [None]
    assert not estate.name.resolved


async def test_a_name_that_cannot_be_encoded_is_as_one_that_is_not_found(clock: Clock) -> None:
    estate = Estate(clock)

    async def lookup(_host: str, _port: int) -> list[str]:
        raise UnicodeError("label too long")

    estate.name._lookup = lookup
    await estate.name.renew()
    assert estate.addresses == [None]


async def test_requests_wait_for_one_lookup_in_its_time_and_not_for_a_hanging_one(
    estate: Estate, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aldea.upstream.names.WAIT_SECONDS", 0.01)
    estate.zone.names["stt"] = ["10.0.0.1"]
    estate.zone.hanging.clear()
    await asyncio.gather(*(estate.name.renew() for _ in range(50)))
    assert estate.zone.lookups == 1
    assert estate.addresses == [None]
    clock.now += 1000
    await estate.name.renew()  # hangs as before: nobody waits for it again
    assert estate.zone.lookups == 1
    estate.zone.hanging.set()
    async with asyncio.timeout(60):
        while not estate.name.resolved:
            await asyncio.sleep(0)
    assert estate.addresses == ["10.0.0.1"]


async def test_a_resolved_name_is_looked_up_for_a_request_only_in_doubt_and_not_again_at_once(
    estate: Estate, clock: Clock
) -> None:
    estate.zone.names["stt"] = ["10.0.0.1"]
    await estate.name.renew()
    clock.now += 1000
    await estate.name.renew()
    assert estate.zone.lookups == 1
    estate.name.doubt()
    await estate.name.renew()
    assert estate.zone.lookups == 2
    estate.name.doubt()
    await estate.name.renew()
    assert estate.zone.lookups == 2
    clock.now += WAIT_SECONDS
    await estate.name.renew()
    assert estate.zone.lookups == 3


async def test_the_name_is_followed_in_the_background(estate: Estate) -> None:
    estate.zone.names["stt"] = ["10.0.0.1"]
    following = spawn(estate.name.keep_resolved(lambda: 0.002), name="follow")
    async with asyncio.timeout(60):
        while estate.addresses != ["10.0.0.1"]:
            await asyncio.sleep(0.002)
        estate.zone.names["stt"] = ["10.0.0.2"]
        while estate.addresses != ["10.0.0.2"]:
            await asyncio.sleep(0.002)
        estate.zone.hanging.clear()
        while estate.name._looking is None:
            await asyncio.sleep(0.002)
    await cancel(following)
    assert estate.name._looking is None


async def test_a_doubt_is_looked_into_before_the_time(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aldea.upstream.names.WAIT_SECONDS", 0.002)
    estate.zone.names["stt"] = ["10.0.0.1"]
    following = spawn(estate.name.keep_resolved(lambda: 3600.0), name="follow")
    async with asyncio.timeout(60):
        while estate.addresses != ["10.0.0.1"]:
            await asyncio.sleep(0.002)
        estate.zone.names["stt"] = ["10.0.0.2"]
        estate.name.doubt()
        while estate.addresses != ["10.0.0.2"]:
            await asyncio.sleep(0.002)
    await cancel(following)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_an_address_needs_no_resolver(clock: Clock, host: str) -> None:
    estate = Estate(clock, host)
    (server,) = estate.name.servers
    assert server.host == host.strip("[]")
    estate.name.doubt()
    await estate.name.renew()
    assert estate.name.fixed
    assert not estate.name.doubted
    assert estate.zone.lookups == 0
    assert server.circuit.state is State.CLOSED


async def test_a_server_found_while_its_lane_is_off_is_off_too(estate: Estate) -> None:
    estate.name.switched_off = True
    estate.name.update(["10.0.0.1"])
    assert estate.name.servers[0].leaving


async def test_the_systems_resolver_is_used_by_default() -> None:
    assert set(await system_lookup("localhost", 80)) <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match=r"."):
        await system_lookup("stt.invalid", 80)


def test_an_address_without_a_route_has_no_way() -> None:
    assert _has_way(socket.AF_INET, "127.0.0.1", 80)
    assert not _has_way(socket.AF_INET6, "no address", 80)
