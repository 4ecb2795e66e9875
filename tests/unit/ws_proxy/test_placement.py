"""Streams whose STT servers fail under them: real relays between real sockets, servers whose words can be checked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qsl

import pytest

from aldea.settings import read
from aldea.standstill import lived
from aldea.tasks import cancel, spawn
from aldea.upstream import Upstreams
from aldea.usage.reading import UsageReading
from tests.fakes.words import RATE, WORD_MS, WORD_SAMPLES, WordServer, audio_of
from tests.unit.ws_proxy.test_session import grant
from tests.unit.ws_proxy.websocket.streams import Peer, pair
from ws_proxy import metrics
from ws_proxy.meter import Meter, RawAudio
from ws_proxy.placement import MOST_IN_A_MINUTE, Finder, Placement, UpstreamRequest
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket.continuation import Continuation
from ws_proxy.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, parse_close
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Ending, Limits
from ws_proxy.websocket.window import Budget

LONG = Limits(boundary=60, finish=60, close=60, idle=600)
FINALIZE, CLOSE_STREAM = b'{"type":"Finalize"}', b'{"type":"CloseStream"}'


@dataclass
class Stream:
    """A client and its relay."""

    peer: Peer
    relay: Relay
    placement: Placement
    session: Session
    channels: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    closed: tuple[int, str] | None = None
    sent: int = 0
    pongs: int = 0

    async def hear(self) -> None:
        try:
            while self.closed is None:
                opcode, payload = await self.peer.frame(patient=True)
                if opcode == TEXT:
                    self.messages.append(json.loads(payload))
                elif opcode == PONG:
                    self.pongs += 1
                elif opcode == CLOSE:
                    self.closed = parse_close(payload)
                    self.peer.send(close_frame(self.closed[0], masked=True))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = self.closed or (1006, "")

    def speak(self, words: int, pieces: int = 1) -> None:
        """The next words, in frames that end anywhere."""
        audio = audio_of(self.sent + 1, self.sent + words, self.channels)
        self.sent += words
        size = -(-len(audio) // pieces)
        for at in range(0, len(audio), size):
            self.peer.send(frame(BINARY, audio[at : at + size], masked=True))

    def text(self, text: bytes) -> None:
        self.peer.send(frame(TEXT, text, masked=True))

    def results(self, channel: int = 0) -> list[dict[str, Any]]:
        return [one for one in self.messages if one["type"] == "Results" and one["channel_index"][0] == channel]

    def final_words(self, channel: int = 0) -> list[dict[str, Any]]:
        finals = [one for one in self.results(channel) if one["is_final"]]
        return [word for one in finals for word in one["channel"]["alternatives"][0]["words"]]

    async def said(self, number: int, *, final: bool = False) -> None:
        """Wait until the client has had this word."""

        def there() -> bool:
            results = [one for one in self.results() if one["is_final"] or not final]
            return any(
                word["word"] == str(number) for one in results for word in one["channel"]["alternatives"][0]["words"]
            )

        await until(there, self)

    async def ended(self) -> tuple[Ending, UsageReading]:
        ending = await asyncio.wait_for(asyncio.shield(self.relay.ended), 30)
        return ending, self.session.final(ending)

    async def is_exact(self, code: int = 1000) -> UsageReading:
        """Wait for the end: every word once and in order, its time right to a sample, and the bill to a millisecond."""
        ending, reading = await self.ended()
        await until(lambda: self.closed is not None, self)
        assert self.closed is not None
        assert self.closed[0] == ending.client_code == code, (self.closed, ending)
        for channel in range(len({one["channel_index"][0] for one in self.messages if one["type"] == "Results"})):
            words = self.final_words(channel)
            assert [int(word["word"]) for word in words] == list(range(1, self.sent + 1))
            assert [round(word["start"] * RATE, 4) for word in words] == [n * WORD_SAMPLES for n in range(self.sent)]
            assert [round(word["end"] * RATE, 4) for word in words] == [
                n * WORD_SAMPLES for n in range(1, self.sent + 1)
            ]
            ends = [0.0]
            for one in self.results(channel):
                if one["is_final"]:
                    assert round(one["start"] - ends[-1], 6) == 0
                    ends.append(round(one["start"] + one["duration"], 6))
            assert ends == sorted(ends)
        metadata = [one["duration"] for one in self.messages if one["type"] == "Metadata"]
        assert metadata == [0.0, self.sent * WORD_MS / 1000]
        assert self.messages[-1]["type"] == "Metadata"
        assert (reading.audio_ms, reading.audio_source) == (self.sent * WORD_MS * reading.channels, "stt")
        return reading


async def until(condition: Callable[[], object], stream: Stream | None = None) -> None:
    async with asyncio.timeout(30):
        while not condition():
            assert stream is None or stream.closed is None or condition(), stream.closed
            await asyncio.sleep(0.005)


class Estate:
    """Two servers, and streams on them."""

    def __init__(self, servers: list[WordServer], **settings: float) -> None:
        self.servers = servers
        urls = tuple(server.url for server in servers)
        self.settings = read(Settings, redis_url="redis://x", stt_upstreams=urls, **settings)
        self.upstreams = Upstreams(urls)
        self.finder = Finder(self.settings, self.upstreams)
        self.budget = Budget(1 << 30)
        self.streams: list[Stream] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def stop_servers(self) -> None:
        for server in self.servers:
            await server.stop()

    async def stream(
        self,
        query: str = "encoding=linear16",
        *,
        limits: Limits = LONG,
        channels: int = 1,
        multichannel: bool = False,
    ) -> Stream:
        request = UpstreamRequest("/v1/listen", query, {"dg-request-id": "r"})
        server, opened = await self.finder.first(request, lived(asyncio.get_running_loop()) + 20)
        pause = int(dict(parse_qsl(query)).get("utterance_end_ms", "0"))
        raw = RawAudio(RATE * 2 * channels, channels if multichannel else 1, 2 * channels, pause)
        relay = Relay(limits, Continuation(raw.shape, self.settings.replay_seconds, self.budget))
        placement = Placement(self.finder, relay, request, server, raw.bytes_per_second)
        session = Session(grant(), relay, Meter(raw), placement, connect_ms=1)
        transport, peer = await pair()
        relay.start(transport, b"", opened.transport, opened.early)
        stream = Stream(peer, relay, placement, session, channels)
        self.streams.append(stream)
        self._tasks.append(spawn(stream.hear(), name="hear"))
        return stream

    async def close(self) -> None:
        for stream in self.streams:
            stream.peer.abort()
            if not stream.relay.ended.done():
                await stream.ended()
        await cancel(*self._tasks)
        assert self.budget.used == self.budget.torn == 0
        # A search that was ended lets go of its server when its task runs next.
        await until(lambda: not any(server.held for server in self.upstreams.servers))


@asynccontextmanager
async def estate(servers: int = 2, **settings: float) -> AsyncIterator[Estate]:
    found = Estate([await WordServer().start() for _ in range(servers)], **settings)
    try:
        yield found
    finally:
        await found.close()
        await found.stop_servers()


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


@pytest.mark.parametrize("command", [FINALIZE, CLOSE_STREAM], ids=["Finalize", "CloseStream"])
async def test_a_command_that_a_lost_server_had_not_obeyed_is_sent_to_the_next_one(command: bytes) -> None:
    async with estate() as on:
        on.servers[0].silent = "commands"
        stream = await on.stream()
        stream.speak(6)
        stream.text(command)
        await until(lambda: on.servers[0].texts)
        await stream.said(6)
        await on.servers[0].faulty("reset")
        if command is FINALIZE:
            await until(lambda: any(one.get("from_finalize") for one in stream.messages), stream)
            stream.speak(3)
            stream.text(CLOSE_STREAM)
        await stream.is_exact()
        assert sum(one.get("from_finalize", False) for one in stream.messages) == (command is FINALIZE)


async def test_a_command_that_was_obeyed_is_not_repeated() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.speak(6)
        stream.text(FINALIZE)
        await until(lambda: any(one.get("from_finalize") for one in stream.messages), stream)
        stream.text(b'{"type":"Configure","x":1}')
        await until(lambda: on.servers[0].texts[1:])
        await on.servers[0].faulty("reset")
        stream.speak(3)
        stream.text(CLOSE_STREAM)
        await stream.is_exact()
        assert on.servers[1].texts == ["Configure", "CloseStream"]


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


async def test_where_speech_begins_and_ends_is_said_at_its_time_when_a_server_was_lost_in_between() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&vad_events=true&utterance_end_ms=1000")
        stream.speak(6)
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 3 // 2), masked=True))
        await until(lambda: any(one["type"] == "UtteranceEnd" for one in stream.messages), stream)
        stream.speak(2)
        stream.text(CLOSE_STREAM)
        await stream.ended()
        events = [one for one in stream.messages if one["type"] in {"SpeechStarted", "UtteranceEnd"}]
        spoken = {"type": "SpeechStarted", "channel": [0, 1]}
        # The second is of words that were not final yet.
        assert events == [
            spoken | {"timestamp": 0.0},
            spoken | {"timestamp": 0.2},
            {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.3},
            spoken | {"timestamp": 1.8},
        ]
        starts = [word["start"] for word in stream.final_words()]
        assert [round(start, 6) for start in starts] == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 1.8, 1.85]


async def test_the_end_of_an_utterance_whose_words_were_final_comes_although_its_server_was_lost() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&utterance_end_ms=1000")
        stream.speak(4)
        await stream.said(4, final=True)
        await on.servers[0].faulty("reset")
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 4), masked=True))
        now = lived(asyncio.get_running_loop())

        def ended() -> list[dict[str, Any]]:
            stream.relay.tick(now)
            return [one for one in stream.messages if one["type"] == "UtteranceEnd"]

        await until(ended, stream)
        stream.speak(4)
        await stream.said(8, final=True)
        stream.peer.send(frame(BINARY, bytes(RATE * 2 * 4), masked=True))
        await until(lambda: len(ended()) == 2, stream)
        stream.text(CLOSE_STREAM)
        _, reading = await stream.ended()
        assert [one["last_word_end"] for one in ended()] == [0.2, 4.4]
        assert all(one["channel"] == [0, 1] for one in ended())
        assert (reading.failovers, reading.audio_ms) == (1, 8_400)


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


async def test_frames_of_a_byte_and_commands_and_settings_between_them_are_sent_again_in_their_places() -> None:
    async with estate() as on:
        stream = await on.stream()
        for _ in range(3):
            stream.speak(2, pieces=2 * 1600)
            stream.text(b'{"type":"KeepAlive"}')
            stream.text(b'{"type":"Configure","x":1}')
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.speak(1, pieces=1600)
        stream.peer.send(frame(BINARY, b"", masked=True))  # a CloseStream
        assert (await stream.is_exact()).failovers == 1
        # The first setting, and all texts from behind the last final word.
        assert on.servers[1].texts == ["Configure", *["KeepAlive", "Configure"] * 2, "CloseStream"]


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


async def test_channels_that_are_final_up_to_different_places_get_no_word_twice() -> None:
    async with estate() as on:
        stream = await on.stream("encoding=linear16&channels=2&multichannel=true", channels=2, multichannel=True)
        stream.speak(6)
        await stream.said(4, final=True)  # the second channel's words are final at the seventh
        await stream.said(6)
        await on.servers[0].faulty("reset")
        stream.speak(7, pieces=3)
        await stream.said(13)
        await on.servers[1].faulty("reset")
        stream.speak(2)
        stream.text(CLOSE_STREAM)
        reading = await stream.is_exact()
        assert (reading.channels, reading.failovers) == (2, 2)
        assert {one["channel_index"][0] for one in stream.results(0) + stream.results(1)} == {0, 1}


async def test_a_stream_that_is_silent_for_longer_than_its_window_cannot_be_continued_until_its_next_final() -> None:
    async with estate(replay_seconds=0.1) as on:
        torn, whole = await on.stream(), await on.stream()
        for stream in (torn, whole):
            stream.speak(4)
            await stream.said(4, final=True)
            for _ in range(100):
                stream.peer.send(frame(BINARY, bytes(3200), masked=True))
            scanner = stream.relay.client.scanner
            while scanner.binary_bytes < 4 * 1600 + 320_000:
                await asyncio.sleep(0.005)
            assert not stream.relay.continuable
        assert on.budget.torn == 2
        whole.speak(8)
        await whole.said(8, final=True)
        await whole.said(12, final=True)
        assert whole.relay.continuable
        assert on.budget.torn == 1
        failed = metrics.FAILED_FAILOVERS.labels("unrecoverable")
        before = failed._value.get()
        await on.servers[0].faulty("reset")
        ending, _ = await torn.ended()
        assert ending.client_code == 1011
        assert failed._value.get() == before + 1
        whole.text(CLOSE_STREAM)
        _, reading = await whole.ended()
        assert [int(word["word"]) for word in whole.final_words()] == list(range(1, 13))
        assert (reading.failovers, reading.audio_ms) == (1, 12 * WORD_MS + 10_000)


async def test_a_file_that_is_sent_as_raw_samples_is_not_continued_from_its_middle() -> None:
    async with estate() as on:
        stream = await on.stream()
        stream.peer.send(frame(BINARY, b"RIFF", masked=True))
        await until(lambda: on.servers[0].requests)
        assert stream.relay.continuable  # from its beginning it can be
        stream.speak(8)
        await stream.said(8, final=True)
        assert not stream.relay.continuable


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
