"""Streams on STT servers that fail under them: real relays between real sockets, servers whose words can be checked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aldea.settings import read
from aldea.standstill import lived
from aldea.tasks import cancel, spawn
from aldea.upstream import Upstreams
from aldea.usage.reading import UsageReading
from tests.fakes.words import RATE, WORD_MS, WORD_SAMPLES, WordServer, audio_of
from tests.unit.ws_proxy.test_session import grant
from tests.unit.ws_proxy.websocket.streams import Peer, pair
from ws_proxy.meter import Meter, RawAudio
from ws_proxy.placement import Finder, Placement, UpstreamRequest
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.websocket.continuation import Continuation
from ws_proxy.websocket.frames import BINARY, CLOSE, PONG, TEXT, close_frame, frame, parse_close
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
        ending = await asyncio.wait_for(asyncio.shield(self.relay.ended), 60)
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
    async with asyncio.timeout(120):
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
        """Those that have streams at last: until then these would find another one."""
        for server in sorted(self.servers, key=lambda server: server.streams):
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
