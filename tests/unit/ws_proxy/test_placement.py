"""Streams that lose their STT server or are to leave it: they go on at another one."""

import asyncio
from unittest.mock import Mock

import pytest

from aldea.standstill import lived
from tests.fakes.words import RATE, WORD_MS, audio_of
from tests.unit.ws_proxy.estate import CLOSE_STREAM, estate, until
from ws_proxy.placement import MOST_IN_A_MINUTE
from ws_proxy.session import Session
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket.frames import BINARY, frame
from ws_proxy.websocket.terms import Limits

FAULTS = ["reset", "garbage", "half-close", "half a message", "1011", "1012", "1013", "1001", "full"]


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_stream_outlives_its_server_and_every_word_comes_once(kind: str) -> None:
    async with estate() as on:
        streams = [await on.stream() for _ in range(4)]
        for number, stream in enumerate(streams):
            stream.speak(5 + number, pieces=3 + number)
            await stream.said(5 + number)
        await on.servers[0].faulty(kind)
        for stream in streams:
            stream.speak(7, pieces=5)
        for stream in streams:
            await stream.said(stream.sent)
            stream.speak(3)
            stream.text(CLOSE_STREAM)
            reading = await stream.is_exact()
            assert reading.failovers == 1
        assert on.servers[1].opened == 4


async def test_a_server_that_hangs_is_left_when_it_replies_to_no_ping() -> None:
    async with estate() as on:
        stream = await on.stream(limits=Limits(idle=600, hang_ping=4.5, hang_pong=4.5))
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].faulty("hang")
        now = lived(asyncio.get_running_loop())
        stream.relay.tick(now)
        stream.speak(4)
        for passed in range(1, 12):
            stream.relay.tick(now + passed)
        await stream.said(10)
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1


@pytest.mark.parametrize(("kind", "code"), [("1000", 1000), ("1008", 1008), ("4000", 4000)])
async def test_a_close_for_the_requests_sake_is_passed_on(kind: str, code: int) -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].faulty(kind)
        ending, reading = await stream.ended()
        assert (ending.client_code, reading.failovers, on.servers[1].opened) == (code, 0, 0)


async def test_a_stream_is_given_three_servers_in_a_minute_and_no_fourth() -> None:
    async with estate() as on:
        stream = await on.stream()
        for number in range(MOST_IN_A_MINUTE):
            stream.speak(6)
            await stream.said(stream.sent)
            await on.servers[number % 2].faulty("reset")
        stream.speak(6)
        await stream.said(stream.sent)
        for server in on.servers:
            await server.faulty("reset")
        ending, reading = await stream.ended()
        assert (ending.client_code, ending.reason[:8]) == (1011, "NET-0000")
        assert reading.failovers == MOST_IN_A_MINUTE
        assert reading.audio_ms == stream.sent * WORD_MS
        assert [int(word["word"]) for word in stream.final_words()] == list(range(1, stream.sent // 4 * 4 + 1))


async def test_a_server_that_takes_the_stream_and_drops_it_at_once_is_followed_by_another_one() -> None:
    async with estate(servers=3) as on:
        on.servers[1].cut = 1
        stream = await on.stream()
        stream.speak(2)  # none of them is final
        await stream.said(2)
        await on.servers[0].stop()
        await stream.said(2)
        stream.speak(6)
        stream.text(CLOSE_STREAM)
        # It may have been gone before anything was sent to it.
        assert (await stream.is_exact()).failovers in {1, 2}


async def test_a_search_that_fails_in_an_unforeseen_way_ends_the_stream_as_one_that_found_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with estate(failover_hold_seconds=120) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)

        async def fails(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(on.finder, "next", fails)
        assert not await stream.placement.move()
        await on.servers[0].faulty("reset")
        ending, _ = await stream.ended()
        assert (ending.client_code, ending.reason[:8]) == (1011, "NET-0000")


async def test_a_server_that_hangs_with_a_full_buffer_is_let_go_also_when_the_stream_ends_before_it_replies() -> None:
    async with estate(servers=1, failover_hold_seconds=120, replay_seconds=300) as on:
        stream = await on.stream(limits=Limits(idle=600, close=0.2, hang_ping=4.5, hang_pong=4.5))
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].faulty("hang")
        left = stream.relay.upstream.transport
        assert left is not None
        while not left.get_write_buffer_size():
            stream.peer.send(frame(BINARY, bytes(100_000), masked=True))
            await asyncio.sleep(0)
        now = lived(asyncio.get_running_loop())
        # Either it takes nothing, or it replies to no ping: one of the two is found first.
        for passed in range(60):
            stream.relay.tick(now + passed)
        assert stream.relay.wants_server
        stream.peer.abort()
        await stream.ended()
        await until(lambda: not left.get_write_buffer_size())
        on.servers[0]._awake.set()


async def test_a_stream_moves_from_a_server_that_goes_without_losing_it_first() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        assert stream.placement.unfinished_seconds == 2 * WORD_MS / 1000
        assert await stream.placement.move()
        assert [server.held for server in on.upstreams.servers] == [0, 1]
        stream.speak(4)
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1
        assert on.upstreams.servers[0].healthy


async def test_a_stream_that_is_behind_moves_at_its_next_final_words() -> None:
    async with estate() as on:
        stream = await on.stream()
        silence = bytes(RATE * 2)
        stream.peer.send(frame(BINARY, audio_of(1, 4) + silence, masked=True))
        await stream.said(4, final=True)
        live = LiveStreams(on.settings, Mock(), Mock())
        live._sessions.add(stream.session)
        server, finals = on.upstreams.servers[0], dict[Session, float]()
        on.upstreams.note_restart(server)
        for _ in range(2):
            assert await live._move_ready(server, finals, patient=True)
            assert stream.placement.server is server
        stream.peer.send(frame(BINARY, audio_of(5, 8) + silence, masked=True))
        await stream.said(8, final=True)
        assert stream.placement.unfinished_seconds == 1
        assert await live._move_ready(server, finals, patient=True)
        assert stream.placement.failovers == 1


async def test_a_stream_that_finds_no_other_server_stays() -> None:
    async with estate(servers=1) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        assert not await stream.placement.move()
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 0


async def test_the_streams_of_a_server_that_says_it_drains_move_to_the_other_one() -> None:
    async with estate() as on:
        streams = [await on.stream() for _ in range(3)]
        for stream in streams:
            stream.speak(6)
            await stream.said(6)
        live = LiveStreams(on.settings, Mock(), Mock())
        live._sessions.update(stream.session for stream in streams)
        on.upstreams.on_leaving(live.leave)
        on.upstreams.note_restart(on.upstreams.servers[0])
        await until(lambda: all(stream.placement.failovers for stream in streams), streams[0])
        await until(lambda: not live._leaving)
        for stream in streams:
            stream.text(CLOSE_STREAM)
            assert (await stream.is_exact()).failovers == 1
