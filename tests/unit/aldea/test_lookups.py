"""Names of customers, some of whose name servers never respond."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from aldea.lookups import CUSTOMER_THREADS, THREADS, Lookups, on_behalf_of


class Names:
    """A lookup that hangs for names that begin with `tarpit`."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.looked_up: list[str] = []

    def __call__(self, host: str, _port: int) -> list[tuple[Any, ...]]:
        self.looked_up.append(host)
        if host.startswith("tarpit"):
            self.release.wait(60)
            raise OSError("no such name")
        return [(host,)]


@pytest.fixture
def names() -> Iterator[Names]:
    found = Names()
    yield found
    found.release.set()


async def look_up(lookups: Lookups, names: Names, customer: str, host: str, seconds: float = 60.0) -> bool:
    try:
        async with asyncio.timeout(seconds):
            with on_behalf_of(customer):
                return await lookups.look_up(names, host, 443) == [(host,)]
    except OSError:  # TimeoutError is one
        return False


async def test_a_customer_whose_name_servers_hang_keeps_nobody_elses_names_from_being_looked_up(names: Names) -> None:
    lookups = Lookups()
    hanging = (look_up(lookups, names, "a", f"tarpit-{number}.example", 0.05) for number in range(2 * THREADS))
    assert not any(await asyncio.gather(*hanging))
    async with asyncio.timeout(60):
        while len(names.looked_up) < CUSTOMER_THREADS:  # a thread may begin later than that
            await asyncio.sleep(0.01)
    assert len(names.looked_up) == CUSTOMER_THREADS
    well = (look_up(lookups, names, customer, "well.example") for customer in ("b", "c", "") for _ in range(9))
    assert all(await asyncio.gather(*well))
    names.release.set()
    assert await look_up(lookups, names, "a", "well.example"), "its share is free again"
    async with asyncio.timeout(60):
        while len(lookups):
            await asyncio.sleep(0.01)
    lookups.close()


async def test_a_burst_of_one_customer_waits_its_turn_and_none_of_it_fails(names: Names) -> None:
    lookups = Lookups()
    burst = (look_up(lookups, names, "a", f"well-{number}.example") for number in range(10 * CUSTOMER_THREADS))
    assert all(await asyncio.gather(*burst))
    assert len(lookups) == 0
    lookups.close()


async def test_a_name_that_is_not_found_frees_its_share(names: Names) -> None:
    names.release.set()
    lookups = Lookups()
    for _ in range(2 * CUSTOMER_THREADS):
        assert not await look_up(lookups, names, "a", "tarpit.example")
    assert len(lookups) == 0
    lookups.close()
