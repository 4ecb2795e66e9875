import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, cast

import pytest
import uvloop

from aldea.standstill import lived
from ws_proxy.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    mask_bytes,
    parse_close,
)
from ws_proxy.websocket.leg import MAX_BUFFERED_BYTES, Leg
from ws_proxy.websocket.relay import CLOSE_STREAM, Relay
from ws_proxy.websocket.terms import Ending, Limits

REPORT = b'{"type":"Metadata","duration":2.5}'
# Deadlines that never come in a test, unless it sets shorter ones.
# Nothing ends within hours, but what a test says: the seconds between two ticks are pretended.
LONG = Limits(boundary=60, finish=60, close=60, idle=1e6, stall=1e6, duration=1e6)


def on_both_loops(test: Callable[[], Awaitable[None]]) -> Any:
    """Run a test on asyncio's own loop and on uvloop's; each run has a deadline."""

    @pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    @wraps(test)
    def run(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(test(), 60))

    del run.__wrapped__  # pytest would look for the parameters there
    return run


class Peer(asyncio.Protocol):
    """A scripted client or server: keeps all that it is sent, reads frames out of it."""

    def __init__(self, *, masks: bool) -> None:
        self.masks = masks
        self.received = bytearray()
        self.eof = False
        self.lost = False
        self.changed = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def eof_received(self) -> bool:
        self.eof = True
        self.changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.eof = self.lost = True
        self.changed.set()

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.transport.write(frame(opcode, payload, masked=self.masks))

    def send_close(self, code: int, reason: str = "") -> None:
        self.transport.write(close_frame(code, reason, masked=self.masks))

    def frames(self) -> list[tuple[int, bytes]]:
        found, data, pos = [], bytes(self.received), 0
        while pos + 2 <= len(data):
            length, start = data[pos + 1] & 0x7F, pos + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[pos + 2 : start], "big")
            mask = b""
            if data[pos + 1] & 0x80:
                mask, start = data[start : start + 4], start + 4
            payload = data[start : start + length]
            if len(payload) < length:
                break
            found.append((data[pos] & 0x0F, mask_bytes(payload, mask) if mask and payload else payload))
            pos = start + length
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def got(self, opcode: int, payload: bytes | None = None) -> bytes:
        """Wait for a frame of this kind; its payload."""
        seen: list[bytes] = []

        def there() -> bool:
            seen[:] = [found for kind, found in self.frames() if kind == opcode and payload in (None, found)]
            return bool(seen)

        await self.until(there)
        return seen[0]

    async def closed_with(self) -> tuple[int, str]:
        return parse_close(await self.got(CLOSE))

    async def closed(self) -> None:
        await self.until(lambda: self.eof)


@dataclass
class Stage:
    relay: Relay
    client: Peer
    server: Peer
    extra: list[Peer] = field(default_factory=list)

    async def ended(self) -> Ending:
        return await self.relay.ended


async def _pair(peer: Peer) -> asyncio.Transport:
    """A TCP connection over the loopback: the peer's end is scripted, ours is returned unread."""
    loop = asyncio.get_running_loop()
    ours: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            ours.set_result(cast("asyncio.Transport", transport))

    listening = await loop.create_server(Accepting, "127.0.0.1", 0)
    await loop.create_connection(lambda: peer, "127.0.0.1", listening.sockets[0].getsockname()[1])
    transport = await ours
    transport.pause_reading()
    listening.close()
    return transport


@asynccontextmanager
async def stage(
    limits: Limits = LONG, *, client_early: bytes = b"", server_early: bytes = b"", **changed: float
) -> AsyncIterator[Stage]:
    client, server = Peer(masks=True), Peer(masks=False)
    transports = await _pair(client), await _pair(server)
    relay = Relay(replace(limits, **changed))  # type: ignore[arg-type]
    relay.start(transports[0], client_early, transports[1], server_early)
    try:
        yield Stage(relay, client, server)
    finally:
        client.transport.abort()
        server.transport.abort()
        relay.abort("test over")
        await asyncio.sleep(0)
        await relay.ended
        await client.until(lambda: client.lost)
        await server.until(lambda: server.lost)


@on_both_loops
async def test_bytes_travel_both_ways_as_they_were_sent() -> None:
    early = frame(TEXT, b"early", masked=True), frame(TEXT, b"hello", masked=False)
    async with stage(client_early=early[0], server_early=early[1]) as on:
        up = early[0] + b"".join(frame(BINARY, bytes([n]) * n * 700, masked=True) for n in range(40))
        down = early[1] + b"".join(frame(TEXT, b"x" * n * 99, masked=False) for n in range(40))
        on.client.transport.write(up[len(early[0]) :])
        on.server.transport.write(down[len(early[1]) :])
        await on.server.until(lambda: len(on.server.received) == len(up))
        await on.client.until(lambda: len(on.client.received) == len(down))
        assert on.server.received == up
        assert on.client.received == down


@on_both_loops
async def test_a_client_that_closes_gets_its_reply_at_once_and_the_server_finishes() -> None:
    async with stage() as on:
        on.client.send(BINARY, b"audio")
        on.client.send_close(1001, "bye")
        assert await on.client.closed_with() == (1001, "bye")
        await on.client.closed()
        await on.server.got(TEXT, CLOSE_STREAM)
        assert [opcode for opcode, _ in on.server.frames()] == [BINARY, TEXT]
        on.server.send(TEXT, REPORT)
        on.server.send_close(1000)
        assert await on.server.closed_with() == (1001, "bye")
        on.client.transport.close()
        assert await on.ended() == Ending("client", "bye", 1001, 1001)
        assert on.relay.upstream.scanner.report == REPORT


@on_both_loops
async def test_a_servers_close_reaches_the_client_with_code_and_reason_and_every_message_before_it() -> None:
    async with stage() as on:
        on.server.transport.write(
            frame(TEXT, REPORT, masked=False) + close_frame(1008, "DATA-0000", masked=False) + b"garbage"
        )
        assert await on.client.closed_with() == (1008, "DATA-0000")
        assert on.client.frames()[0] == (TEXT, REPORT)
        assert await on.server.closed_with() == (1008, "DATA-0000")
        await on.server.closed()
        on.client.send_close(1008)
        await on.client.closed()  # at once, not after the deadline for the reply
        on.server.transport.close()
        on.client.transport.close()
        assert await on.ended() == Ending("upstream", "DATA-0000", 1008, 1008)


@on_both_loops
async def test_closes_that_cross_end_both_hops() -> None:
    async with stage() as on:
        on.client.send_close(1000, "client")
        on.server.send_close(1011, "server")
        await on.client.closed_with()
        await on.server.closed_with()
        await on.client.closed()
        await on.server.closed()
        on.client.transport.close()
        on.server.transport.close()
        assert (await on.ended()).initiator in {"client", "upstream"}


@on_both_loops
async def test_the_reply_to_a_close_without_a_code_has_none() -> None:
    async with stage() as on:
        on.client.send(CLOSE)
        assert await on.client.got(CLOSE) == b""
        await on.server.got(TEXT, CLOSE_STREAM)
        on.server.send_close(1000)
        await on.server.got(CLOSE)
        on.client.transport.close()
        assert (await on.ended()).client_code == 1005


@on_both_loops
async def test_close_stream_goes_between_messages_only() -> None:
    async with stage() as on:
        first = bytearray(frame(BINARY, b"first", masked=True))
        first[0] &= 0x7F
        on.client.transport.write(bytes(first))
        await on.server.got(BINARY)
        on.relay.drain(1012, "restart", 60)
        last = frame(CONTINUATION, b"last", masked=True)
        on.client.transport.write(last[:7])
        await asyncio.sleep(0.02)  # whatever came too early would be there by now
        assert len(on.server.frames()) == 1
        on.client.transport.write(last[7:] + frame(BINARY, b"not any more", masked=True))
        await on.server.got(TEXT)
        assert on.server.frames() == [(BINARY, b"first"), (CONTINUATION, b"last"), (TEXT, CLOSE_STREAM)]


@on_both_loops
async def test_a_drain_forwards_the_last_messages_and_then_closes_with_1012() -> None:
    async with stage() as on:
        on.client.send(BINARY, b"audio")
        await on.server.got(BINARY)
        on.relay.drain(1012, "restart", 60)
        await on.server.got(TEXT, CLOSE_STREAM)
        on.client.transport.write(frame(BINARY, b"x" * 1000, masked=True)[:500])  # the client is inside a frame
        on.server.send(TEXT, REPORT)
        on.server.send_close(1000)
        assert await on.client.closed_with() == (1012, "restart")
        assert on.client.frames()[0] == (TEXT, REPORT)
        assert await on.server.closed_with() == (1000, "")
        on.client.transport.abort()
        assert await on.ended() == Ending("proxy", "restart", 1012, 1000)


@on_both_loops
async def test_a_server_that_does_not_finish_in_time_is_closed_even_while_the_client_is_inside_a_frame() -> None:
    async with stage(close=0.1) as on:
        on.relay.drain(1012, "restart", 0.05)
        await on.server.got(TEXT, CLOSE_STREAM)
        on.client.transport.write(frame(BINARY, b"x" * 1000, masked=True)[:500])
        assert await on.server.closed_with() == (1000, "")
        assert await on.client.closed_with() == (1012, "restart")
        assert (await on.ended()).client_code == 1012


@on_both_loops
async def test_a_client_that_never_ends_its_message_in_a_drain_gets_1012_all_the_same() -> None:
    async with stage(boundary=0.05, close=0.1) as on:
        on.client.transport.write(frame(BINARY, b"x" * 1000, masked=True)[:500])
        await on.server.until(lambda: on.server.received)
        on.relay.drain(1012, "restart", 60)
        assert await on.client.closed_with() == (1012, "restart")
        ending = await on.ended()
        assert (ending.client_code, ending.upstream_code) == (1012, 1006)


@on_both_loops
async def test_a_stream_in_a_hurry_closes_both_hops_at_once_also_while_last_words_are_awaited() -> None:
    for draining in (False, True):
        async with stage() as on:
            if draining:
                on.relay.drain(1012, "restart", 60)
                await on.server.got(TEXT, CLOSE_STREAM)
            on.relay.hurry(1012, "restart")
            on.relay.hurry(1012, "restart")
            assert await on.client.closed_with() == (1012, "restart")
            assert await on.server.closed_with() == (1000, "")
            on.client.send_close(1012)
            on.server.send_close(1000)
            assert await on.ended() == Ending("proxy", "restart", 1012, 1000)


@on_both_loops
async def test_an_end_of_our_own_notifies_the_client_now_and_awaits_the_report() -> None:
    async with stage() as on:
        on.relay.end(1008, "revoked")
        assert await on.client.closed_with() == (1008, "revoked")
        on.client.send_close(1008)
        await on.client.closed()
        await on.server.got(TEXT, CLOSE_STREAM)
        on.server.send(TEXT, REPORT)
        on.server.send_close(1000)
        await on.server.got(CLOSE)
        on.client.transport.close()
        assert await on.ended() == Ending("proxy", "revoked", 1008, 1000)
        assert on.relay.upstream.scanner.report == REPORT


@on_both_loops
async def test_a_clients_violation_closes_both_sides_with_its_code() -> None:
    async with stage(close=0.05) as on:
        on.client.transport.write(frame(BINARY, b"good", masked=True) + frame(BINARY, b"bad", masked=False))
        code, reason = await on.client.closed_with()
        assert (code, "masked" in reason) == (1002, True)
        assert (await on.server.closed_with())[0] == 1002
        assert on.server.frames()[0] == (BINARY, b"good")
        ending = await on.ended()
        assert (ending.initiator, ending.client_code, ending.upstream_code) == ("client", 1002, 1002)


@on_both_loops
async def test_a_message_over_the_cap_is_1009_on_both_sides() -> None:
    async with stage(close=0.05, client_message_bytes=1000) as on:
        on.client.send(BINARY, b"x" * 1001)
        assert (await on.client.closed_with())[0] == 1009
        assert (await on.server.closed_with())[0] == 1009
        await on.ended()


@on_both_loops
async def test_a_servers_violation_is_1011_for_the_client() -> None:
    async with stage(close=0.05) as on:
        on.server.transport.write(b"\xff\xff garbage")
        assert (await on.client.closed_with())[0] == 1011
        assert (await on.server.closed_with())[0] == 1002
        assert (await on.ended()).initiator == "upstream"


@on_both_loops
async def test_a_close_with_a_code_that_may_not_travel_is_a_violation() -> None:
    async with stage(close=0.05) as on:
        on.client.send(CLOSE, b"\x03\xed")  # 1005
        assert (await on.client.closed_with())[0] == 1002
        await on.ended()


@on_both_loops
async def test_a_client_lost_between_messages_leaves_a_report() -> None:
    async with stage() as on:
        on.client.send(BINARY, b"audio")
        await on.server.got(BINARY)
        on.client.transport.abort()
        await on.server.got(TEXT, CLOSE_STREAM)
        on.server.send(TEXT, REPORT)
        on.server.send_close(1000)
        await on.server.got(CLOSE)
        ending = await on.ended()
        assert (ending.initiator, ending.client_code) == ("client", 1006)
        assert on.relay.upstream.scanner.report == REPORT


@on_both_loops
async def test_a_client_lost_inside_a_frame_takes_the_servers_connection_with_it() -> None:
    async with stage() as on:
        on.client.transport.write(frame(BINARY, b"x" * 1000, masked=True)[:500])
        await on.server.until(lambda: on.server.received)
        on.client.transport.abort()
        await on.server.closed()
        ending = await on.ended()
        assert (ending.client_code, ending.upstream_code) == (1006, 1006)


@on_both_loops
async def test_a_client_lost_inside_a_fragmented_message_is_a_1011_for_the_server() -> None:
    async with stage(close=0.05) as on:
        on.client.transport.write(b"\x02" + frame(BINARY, b"part", masked=True)[1:])
        await on.server.got(BINARY)
        on.client.transport.abort()
        assert (await on.server.closed_with())[0] == 1011
        await on.ended()


@on_both_loops
async def test_a_lost_server_is_a_1011_for_the_client_and_inside_a_frame_an_abrupt_end() -> None:
    async with stage(close=0.05) as on:
        on.server.transport.abort()
        code, reason = await on.client.closed_with()
        assert (code, reason.startswith("NET-0000")) == (1011, True)
        await on.ended()
    async with stage(close=0.05) as on:
        on.server.transport.write(frame(TEXT, b"x" * 1000, masked=False)[:500])
        await on.client.until(lambda: on.client.received)
        on.server.transport.abort()
        await on.client.closed()
        assert (await on.ended()).client_code == 1006


@on_both_loops
async def test_a_half_closed_client_counts_as_lost() -> None:
    async with stage() as on:
        on.client.transport.write_eof()
        await on.server.got(TEXT, CLOSE_STREAM)
        on.server.send_close(1000)
        await on.server.got(CLOSE)
        assert (await on.ended()).initiator == "client"


@on_both_loops
async def test_a_peer_that_never_replies_to_a_close_is_not_waited_for_without_end() -> None:
    async with stage(close=0.05, finish=0.05) as on:
        on.relay.end(1008, "revoked")
        assert await on.ended() == Ending("proxy", "revoked", 1008, 1000)


@on_both_loops
async def test_pings_go_into_silence_only_and_their_pongs_go_no_further() -> None:
    async with stage(ping_after=1000) as on:
        now = lived(asyncio.get_running_loop())
        on.relay.tick(now + 900)
        on.relay.tick(now + 1100)
        payload = await on.client.got(PING)
        await on.server.got(PING, payload)
        on.client.send(PONG, payload)
        on.client.send(PONG, b"of the client's own")
        on.client.send(PING, b"ping")
        await on.server.got(PING, b"ping")
        assert (PONG, payload) not in on.server.frames()
        assert (PONG, b"of the client's own") in on.server.frames()
        assert on.client.frames() == [(PING, payload)]


@on_both_loops
async def test_a_peer_that_does_not_reply_to_pings_is_given_up() -> None:
    async with stage(ping_after=1000, pong_within=500, close=0.05) as on:
        now = lived(asyncio.get_running_loop())
        on.relay.tick(now + 1100)
        payload = await on.server.got(PING)
        before = on.relay.upstream.bytes_received
        on.server.send(PONG, payload)
        await on.client.got(PING)
        while on.relay.upstream.bytes_received == before:
            await asyncio.sleep(0)
        on.relay.tick(now + 1700)
        await on.client.closed()
        await on.server.got(TEXT, CLOSE_STREAM)
        on.server.send_close(1000)
        ending = await on.ended()
        assert (ending.initiator, "ping" in ending.reason) == ("client", True)


async def audio_heard(on: Stage, seconds: float) -> None:
    """The client sends another frame, and the relay's clock is so many seconds later."""
    before = on.relay.client.bytes_received
    on.client.send(BINARY, b"audio")
    while on.relay.client.bytes_received == before:
        await asyncio.sleep(0)
    on.relay.tick(lived(asyncio.get_running_loop()) + seconds)


@on_both_loops
async def test_a_server_that_hangs_is_found_although_audio_goes_to_it_all_the_time() -> None:
    async with stage(ping_after=1000, pong_within=500, close=0.05) as on:
        for seconds in range(100, 1200, 100):
            await audio_heard(on, seconds)
        await on.server.got(PING)
        for seconds in range(1200, 1500, 100):
            await audio_heard(on, seconds)
            assert not on.relay.ending
        await audio_heard(on, 2000)
        assert on.relay.ending
        code, reason = await on.client.closed_with()
        assert (code, reason[:8]) == (1011, "NET-0000")
        assert [opcode for opcode, _ in on.server.frames()].count(PING) == 1


@on_both_loops
async def test_a_server_that_replies_to_a_ping_or_sends_anything_stays() -> None:
    async with stage(ping_after=1000, pong_within=500) as on:
        for seconds in range(100, 1200, 100):
            await audio_heard(on, seconds)
        payload = await on.server.got(PING)
        for opcode, response, start in ((PONG, payload, 1200), (TEXT, b"words", 3000)):
            before = on.relay.upstream.bytes_received
            on.server.send(opcode, response)
            while on.relay.upstream.bytes_received == before:
                await asyncio.sleep(0)
            for seconds in range(start, start + 1000, 100):
                await audio_heard(on, seconds)
        assert not on.relay.ending


@on_both_loops
async def test_a_ping_that_a_full_buffer_held_back_is_no_missing_reply() -> None:
    async with stage(ping_after=1000, pong_within=500, stall=100_000) as on:
        now = lived(asyncio.get_running_loop())
        on.relay.tick(now + 1100)
        await on.client.got(PING)
        on.client.transport.pause_reading()
        await flooded(on, on.server, TEXT)
        on.relay.tick(now + 3000)
        before = len(on.client.received)
        on.client.transport.resume_reading()
        await on.client.until(lambda: len(on.client.received) > before + 1_000_000)
        on.relay.tick(now + 3100)
        assert not on.relay.ending


@on_both_loops
async def test_the_proxy_replies_to_pings_once_data_is_no_longer_passed_on() -> None:
    async with stage() as on:
        on.relay.drain(1012, "restart", 60)
        await on.server.got(TEXT, CLOSE_STREAM)
        on.client.send(PING, b"still there?")
        await on.client.got(PONG, b"still there?")
        assert [opcode for opcode, _ in on.server.frames()] == [TEXT]


@on_both_loops
async def test_idleness_and_the_longest_duration_end_a_stream_with_1011() -> None:
    quick = replace(LONG, finish=0.05, close=0.05)
    for limits, words in ((replace(quick, idle=1000), "NET-0001"), (replace(quick, duration=1000), "longest duration")):
        async with stage(limits) as on:
            on.relay.tick(lived(asyncio.get_running_loop()) + 1100)
            code, reason = await on.client.closed_with()
            assert (code, words in reason) == (1011, True)
            await on.ended()


async def flooded(on: Stage, sender: Peer, opcode: int) -> int:
    """Send until nothing more is taken; how many bytes the relay itself holds then."""
    chunk = frame(opcode, b"x" * 60_000, masked=sender.masks)
    paused = asyncio.Event()
    sender.pause_writing = paused.set  # type: ignore[method-assign]
    sender.resume_writing = paused.clear  # type: ignore[method-assign]
    leg = on.relay.client if sender is on.client else on.relay.upstream
    largest = 0
    quiet = 0
    while quiet < 20:
        before = leg.bytes_received
        if not paused.is_set():
            sender.transport.write(chunk)
        await asyncio.sleep(0.002)
        transport = leg.peer.transport
        assert transport is not None
        largest = max(largest, transport.get_write_buffer_size())
        quiet = quiet + 1 if leg.bytes_received == before and paused.is_set() else 0
    return largest


@on_both_loops
async def test_a_peer_that_reads_nothing_holds_the_other_one_back_within_the_bound() -> None:
    for slow, sender, opcode in (("client", "server", TEXT), ("server", "client", BINARY)):
        async with stage(stall=30, close=0.05, finish=0.05) as on:
            stalled, sending = getattr(on, slow), getattr(on, sender)
            stalled.transport.pause_reading()
            largest = await flooded(on, sending, opcode)
            assert 0 < largest <= MAX_BUFFERED_BYTES
            # It goes on as soon as the peer reads again.
            before = len(stalled.received)
            stalled.transport.resume_reading()
            await stalled.until(lambda stalled=stalled, before=before: len(stalled.received) > before + 1_000_000)


@on_both_loops
async def test_a_peer_that_takes_nothing_for_too_long_is_given_up() -> None:
    async with stage(stall=3000, close=0.05, finish=0.05) as on:
        on.client.transport.pause_reading()
        await flooded(on, on.server, TEXT)
        now = lived(asyncio.get_running_loop())
        on.relay.tick(now)
        on.relay.tick(now + 2000)
        assert not on.relay.ending
        on.relay.tick(now + 3100)
        ending = await on.ended()
        assert (ending.initiator, "took no data" in ending.reason) == ("client", True)


@on_both_loops
async def test_an_end_is_bounded_in_time_also_with_peers_that_read_nothing() -> None:
    for reading in ("client", "server"):
        async with stage(boundary=0.05, close=0.05, finish=0.05) as on:
            stalled = on.server if reading == "client" else on.client
            stalled.transport.pause_reading()
            await flooded(on, getattr(on, reading), TEXT)
            on.relay.drain(1012, "restart", 0.05)
            await on.ended()


def legs_alive() -> int:
    return sum(isinstance(found, Leg) for found in gc.get_objects())


@on_both_loops
async def test_an_ended_relay_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        before = legs_alive()
        async with stage() as on:
            on.client.send_close(1000)
            await on.server.got(TEXT, CLOSE_STREAM)
            on.server.send_close(1000)
            await on.server.got(CLOSE)
            on.client.transport.close()
            await on.ended()
            assert legs_alive() == before + 2
        del on
        while legs_alive() > before:
            await asyncio.sleep(0.01)
    finally:
        gc.enable()
