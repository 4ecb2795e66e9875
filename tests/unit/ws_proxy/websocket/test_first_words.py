"""From the first audio to the first words: what starts and stops the clock, and that nothing looks on afterwards."""

import json
from typing import Any

import pytest

from ws_proxy.websocket.first_words import FirstWords
from ws_proxy.websocket.frames import BINARY, TEXT, frame
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Limits


def results(transcript: str, **more: Any) -> bytes:
    message = {
        "type": "Results",
        "start": 0.0,
        "duration": 1.0,
        "channel": {"alternatives": [{"transcript": transcript}]},
    }
    return frame(TEXT, json.dumps(message | more).encode(), masked=False)


class Stream:
    """A relay whose two legs have no transports, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seen: list[float] = []
        self.relay = Relay(Limits())
        self.words = self.relay.first_words = FirstWords(lambda: self.now)
        self.words.on_words = self.seen.append
        self.words.attach(self.relay.client, self.relay.upstream)

    def client(self, data: bytes, *, opcode: int = BINARY) -> None:
        self.relay.client.data_received(frame(opcode, data, masked=True))

    def server(self, data: bytes) -> None:
        self.relay.upstream.data_received(data)


async def test_the_first_audio_starts_the_clock_and_the_first_words_stop_it() -> None:
    stream = Stream()
    stream.client(b'{"type":"KeepAlive"}', opcode=TEXT)
    stream.now += 300
    stream.client(b"\0" * 640)
    stream.now += 2
    stream.server(results(""))
    stream.client(b"\0" * 640)
    stream.now += 1.5
    stream.server(results("hello"))
    stream.now += 50
    stream.server(results("world"))
    assert stream.seen == [stream.words.seconds] == [3.5]


async def test_nothing_is_between_the_peers_and_their_scanners_afterwards() -> None:
    stream = Stream()
    scanned, reported = stream.relay.client._feed, stream.relay.upstream.scanner.on_report
    stream.client(b"\0" * 640)
    stream.server(results("hello"))
    assert stream.relay.client._feed == stream.relay.client.scanner.feed != scanned
    assert stream.relay.upstream.scanner.on_report is None
    assert reported is not None


async def test_what_reads_the_reports_of_a_stream_gets_every_one() -> None:
    read: list[bytes] = []
    relay = Relay(Limits())
    relay.upstream.scanner.on_report = read.append
    relay.first_words.attach(relay.client, relay.upstream)
    relay.client.data_received(frame(BINARY, b"\0" * 640, masked=True))
    for text in ("", "hello", "world"):
        relay.upstream.data_received(results(text))
    assert [json.loads(each)["channel"]["alternatives"][0]["transcript"] for each in read] == ["", "hello", "world"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (results("a"), True),
        (results('"'), True),  # written \"
        (results("   "), False),
        (results("", note='"transcript": "quoted"'), False),
        (frame(TEXT, b'{"duration" : 1, "transcript"\n:\t"\xc3\xa9t\xc3\xa9"}', masked=False), True),
        (frame(TEXT, b'{"type":"Metadata","duration":1.0}', masked=False), False),
        (frame(TEXT, b'{"duration":1,"transcript":null}', masked=False), False),
        (frame(BINARY, b'"duration" "transcript":"a"', masked=False), False),
    ],
)
async def test_words_are_a_transcript_with_something_in_it(message: bytes, words: bool) -> None:
    stream = Stream()
    stream.client(b"\0")
    stream.server(message)
    assert bool(stream.seen) is words


async def test_words_in_pieces_count_when_they_are_whole() -> None:
    stream = Stream()
    stream.client(b"\0")
    message = results("hello")
    for at in range(0, len(message), 7):
        stream.now += 1
        stream.server(message[at : at + 7])
    assert stream.seen == [-(-len(message) // 7)]


async def test_a_stream_without_words_is_missed_once_and_not_too_early() -> None:
    stream = Stream()
    assert not stream.words.missed(stream.relay.upstream, 15)  # no audio came
    stream.now += 500
    stream.client(b"\0")
    stream.now += 15
    assert not stream.words.missed(stream.relay.upstream, 15)
    stream.now += 1
    assert stream.words.missed(stream.relay.upstream, 15)
    assert not stream.words.missed(stream.relay.upstream, 15)
    stream.server(results("late"))
    assert stream.seen == [16]


async def test_a_stream_with_words_or_with_another_server_is_not_missed() -> None:
    spoken, moved = Stream(), Stream()
    for each in (spoken, moved):
        each.client(b"\0")
    spoken.server(results("hello"))
    spoken.now = moved.now = 900
    assert not spoken.words.missed(spoken.relay.upstream, 15)
    assert not moved.words.missed(moved.relay._upstream_leg(), 15)


async def test_a_relay_that_ended_is_held_by_nothing() -> None:
    stream = Stream()
    stream.relay.client.detach()
    stream.relay.client.data_received(b"")
    stream.client(b"\0" * 640)
    assert not stream.words.missed(stream.relay.upstream, -1)
