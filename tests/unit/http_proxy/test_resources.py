"""Counting what is in flight."""

import asyncio

from aldea.tasks import spawn
from http_proxy.resources import InFlight


async def test_the_end_is_reported_when_the_last_request_has_left() -> None:
    in_flight = InFlight()
    await asyncio.wait_for(in_flight.ended(), 60)
    with in_flight:
        with in_flight:
            assert len(in_flight) == 2
        ended = spawn(in_flight.ended(), name="ended")
        await asyncio.sleep(0)
        assert not ended.done()
    await asyncio.wait_for(ended, 60)
    assert len(in_flight) == 0
