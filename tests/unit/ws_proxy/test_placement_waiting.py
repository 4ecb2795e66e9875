"""Streams for which no STT server is left: held, served by the next one that is back, or ended."""

import pytest

from tests.fakes.words import WORD_MS, WordServer, audio_of
from tests.unit.ws_proxy.estate import CLOSE_STREAM, estate, until
from ws_proxy.websocket.frames import BINARY, PING, close_frame, frame
from ws_proxy.websocket.terms import Limits


async def test_while_no_server_is_left_the_client_is_held_and_its_pings_get_replies() -> None:
    async with estate(failover_hold_seconds=120) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        ports = [server.port for server in on.servers]
        await on.stop_servers()
        await until(lambda: stream.relay.wants_server)
        stream.speak(6)
        stream.peer.send(frame(PING, b"there?", masked=True))
        await until(lambda: stream.pongs, stream)
        on.servers[1] = await WordServer().start(ports[1])
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1


async def test_while_no_server_is_left_no_more_is_read_of_a_client_than_its_window_holds() -> None:
    async with estate(failover_hold_seconds=120, replay_seconds=0.5) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        ports = [server.port for server in on.servers]
        await on.stop_servers()
        await until(lambda: stream.relay.wants_server)
        stream.speak(2000, pieces=1000)
        client = stream.relay.client
        await until(lambda: client.transport is not None and not client.transport.is_reading(), stream)
        assert client.scanner.binary_bytes < 2006 * WORD_MS * 32
        on.servers[1] = await WordServer().start(ports[1])
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1


async def test_a_client_that_no_server_is_found_for_is_closed_and_what_was_heard_is_billed() -> None:
    async with estate(failover_hold_seconds=0.3) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        await on.stop_servers()
        ending, reading = await stream.ended()
        assert (ending.initiator, ending.client_code, ending.reason[:8]) == ("upstream", 1011, "NET-0000")
        assert (reading.audio_ms, reading.failovers) == (6 * WORD_MS, 0)


async def test_audio_that_no_server_was_there_for_is_not_billed_where_none_has_reported_any() -> None:
    async with estate(failover_hold_seconds=120) as on:
        stream = await on.stream()
        stream.peer.send(frame(BINARY, audio_of(1, 1)[:320], masked=True))  # no whole word, so nothing is said of it
        await until(lambda: stream.relay.client.scanner.binary_bytes, stream)
        await on.stop_servers()
        await until(lambda: stream.relay.wants_server, stream)
        stream.peer.send(frame(BINARY, bytes(32_000), masked=True))
        await until(lambda: stream.relay.client.scanner.binary_bytes == 32_320, stream)
        stream.relay.give_up("NET-0000: connection to the STT server lost")
        ending, reading = await stream.ended()
        assert ending.client_code == 1011
        assert (reading.audio_ms, reading.audio_source) == (10, "pcm")


async def test_without_a_hold_a_stream_still_goes_on_at_a_server_that_takes_it() -> None:
    async with estate(failover_hold_seconds=0) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].stop()
        stream.speak(6)
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1


async def test_a_drain_whose_server_is_lost_still_gives_the_client_its_last_words() -> None:
    async with estate() as on:
        on.servers[0].silent = "commands"
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        stream.relay.drain(1012, "restart", 60)
        await until(lambda: on.servers[0].texts)
        await on.servers[0].faulty("reset")
        await stream.is_exact(1012)


async def test_a_drain_that_begins_while_no_server_is_there_finishes_on_the_next_one() -> None:
    async with estate(failover_hold_seconds=120) as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        ports = [server.port for server in on.servers]
        await on.stop_servers()
        await until(lambda: stream.relay.wants_server)
        stream.relay.drain(1012, "restart", 60)
        on.servers[1] = await WordServer().start(ports[1])
        await stream.is_exact(1012)


@pytest.mark.parametrize("how", ["revoked", "client closes", "client is lost", "client breaks the protocol", "hurry"])
async def test_a_stream_that_ends_while_no_server_is_there_ends_at_once_and_leaves_no_search(how: str) -> None:
    async with estate(failover_hold_seconds=120) as on:
        stream = await on.stream(limits=Limits(close=0.2))
        stream.speak(6)
        await stream.said(6)
        await on.stop_servers()
        await until(lambda: stream.relay.wants_server)
        if how == "revoked":
            stream.relay.end(1008, "revoked")
        elif how == "client closes":
            stream.peer.send(close_frame(1000, masked=True))
        elif how == "client is lost":
            stream.peer.abort()
        elif how == "hurry":
            stream.relay.hurry(1012, "now")
        else:
            stream.peer.send(b"\x83\x80\0\0\0\0")
        ending, reading = await stream.ended()
        codes = {"revoked": 1008, "client closes": 1000, "client is lost": 1006, "hurry": 1012}
        assert ending.client_code == codes.get(how, 1002)
        assert reading.audio_ms == 6 * WORD_MS


async def test_a_full_server_is_waited_for_and_takes_the_stream_once_it_has_room() -> None:
    async with estate(failover_hold_seconds=120) as on:
        on.servers[1].capacity = 0
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].stop()
        await until(lambda: stream.relay.wants_server)
        stream.speak(6)
        assert on.servers[1].opened == 0
        on.servers[1].capacity = 1
        stream.text(CLOSE_STREAM)
        assert (await stream.is_exact()).failovers == 1


async def test_a_client_that_reads_nothing_during_a_failover_gets_everything_afterwards() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.speak(6)
        await stream.said(6)
        stream.peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        stream.relay.client.pause_writing()
        await on.servers[0].faulty("reset")
        # Nothing is read from a server for a client that takes nothing; what was lost is seen all the same.
        stream.relay.client.resume_writing()
        await until(lambda: stream.placement.failovers)
        stream.peer.reader._transport.resume_reading()  # type: ignore[attr-defined]
        stream.speak(4)
        stream.text(CLOSE_STREAM)
        await stream.is_exact()
