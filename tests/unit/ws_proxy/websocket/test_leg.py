import asyncio

from tests.unit.ws_proxy.websocket.streams import relayed
from ws_proxy.websocket.leg import HIGH_WATER_BYTES, MAX_BUFFERED_BYTES, READ_BYTES


def test_the_bound_of_a_direction_is_its_high_water_mark_and_one_read() -> None:
    assert HIGH_WATER_BYTES + READ_BYTES <= MAX_BUFFERED_BYTES


async def test_a_leg_that_stops_passing_is_still_read() -> None:
    async with relayed() as (relay, client, upstream):
        relay.client.pause_writing()
        assert relay.client.full
        relay.upstream.stop_passing()
        upstream.send(b"\x81\x02hi")
        while relay.upstream.bytes_received < 4:
            await upstream.writer.drain()
            await asyncio.sleep(0)
        assert relay.upstream.scanner.messages == 1
        assert client.reader._buffer == b""  # type: ignore[attr-defined]
