import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from aldea.tasks import spawn
from ws_proxy.websocket.dns_cache import MAX_ADDRESSES, DnsCache


class Zone:
    """A resolver, its addresses, and the clock that the cache goes by."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.lookups = 0
        self.fails = False
        self.hangs = False
        self.now = 0.0

    async def lookup(self, _host: str, _port: int) -> Sequence[str]:
        self.lookups += 1
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise OSError("no name server")
        return self.addresses

    def dns(self, keep: float = 10.0) -> DnsCache:
        return DnsCache(keep, lookup=self.lookup, refresh_seconds=0.01, clock=lambda: self.now)


async def test_a_name_is_resolved_once_in_its_time() -> None:
    zone = Zone("10.0.0.1", "10.0.0.1", "10.0.0.2")
    dns = zone.dns()
    assert await dns.addresses("stt", 8800) == ("10.0.0.1", "10.0.0.2")
    zone.now = 9.9
    assert await dns.addresses("stt", 8800) == ("10.0.0.1", "10.0.0.2")
    assert zone.lookups == 1
    zone.now, zone.addresses = 10.0, ["10.0.0.3"]
    assert await dns.addresses("stt", 8800) == ("10.0.0.3",)
    assert zone.lookups == 2


async def test_of_many_at_once_one_queries_the_resolver_also_if_the_first_gives_up() -> None:
    zone = Zone("10.0.0.1")
    dns = zone.dns()
    found = await asyncio.gather(*(dns.addresses("stt", 8800) for _ in range(50)))
    assert set(found) == {("10.0.0.1",)}
    assert zone.lookups == 1

    zone.hangs = True
    other = zone.dns()
    waiting = [spawn(other.addresses("stt", 8800), name="resolves") for _ in range(2)]
    while zone.lookups < 2:
        await asyncio.sleep(0)
    zone.hangs = False
    waiting[0].cancel()
    assert await waiting[1] == ("10.0.0.1",)


async def test_an_address_needs_no_resolver() -> None:
    zone = Zone()
    for address in ("127.0.0.1", "::1", "fe80::1%eth0"):
        assert await zone.dns().addresses(address, 80) == (address,)
    assert zone.lookups == 0


@pytest.mark.parametrize("trouble", ["fails", "hangs", "empty"])
async def test_where_the_resolver_is_down_what_was_known_goes_on_being_used(trouble: str) -> None:
    zone = Zone("10.0.0.1")
    dns = zone.dns()
    await dns.addresses("stt", 8800)
    zone.now = 60.0
    if trouble == "empty":
        zone.addresses = []
    else:
        setattr(zone, trouble, True)
    with capture_logs() as logs:
        assert await dns.addresses("stt", 8800) == ("10.0.0.1",)
        # And nobody waits for it again at once.
        assert await dns.addresses("stt", 8800) == ("10.0.0.1",)
    assert [line["event"] for line in logs] == ["name not resolved, its last addresses are used"]
    assert zone.lookups == 2


async def test_a_name_that_was_never_known_is_an_error() -> None:
    zone = Zone()
    with pytest.raises(OSError, match="stt has no address"):
        await zone.dns().addresses("stt", 8800)


async def test_an_address_that_took_no_connection_is_resolved_again() -> None:
    zone = Zone("10.0.0.1")
    dns = zone.dns()
    dns.forget("stt", 8800)
    await dns.addresses("stt", 8800)
    zone.addresses = ["10.0.0.2"]
    dns.forget("stt", 8800)
    assert await dns.addresses("stt", 8800) == ("10.0.0.2",)


async def test_without_a_time_each_call_resolves_and_gets_no_more_than_can_be_tried() -> None:
    zone = Zone(*(f"10.0.0.{n}" for n in range(40)))
    dns = zone.dns(keep=0.0)
    assert len(await dns.addresses("stt", 8800)) == MAX_ADDRESSES
    await dns.addresses("stt", 8800)
    assert zone.lookups == 2


async def test_the_systems_resolver_is_used_by_default() -> None:
    assert set(await DnsCache().addresses("localhost", 80)) <= {"127.0.0.1", "::1"}
