"""How late final words are: what is looked at, where their audio was, and that floods are not looked at."""

import json
from typing import Any

import pytest

from ws_proxy.websocket.final_lag import LOOKED_AT, MARKS, MEASURED, FinalLag
from ws_proxy.websocket.frames import BINARY, TEXT, frame
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Limits

RATE = 32_000  # bytes of a second


def results(end: float, *, words: str = "words", final: bool = True, **more: Any) -> bytes:
    message = {
        "type": "Results",
        "start": 0.0,
        "duration": end,
        "is_final": final,
        "channel": {"alternatives": [{"transcript": words}]},
    }
    return frame(TEXT, json.dumps(message | more).encode(), masked=False)


class Stream:
    """A relay whose two legs have no transports, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seen: list[float] = []
        self.relay = Relay(Limits())
        self.lag = self.relay.final_lag = FinalLag(RATE, self.seen.append, lambda: self.now)
        self.lag.attach(self.relay.client, self.relay.upstream)
        self.relay.first_words.attach(self.relay.client, self.relay.upstream)

    def speak(self, seconds: int, *, pieces: int = 10) -> None:
        """At a microphone's pace, with a tick each second."""
        for _ in range(seconds):
            for _ in range(pieces):
                self.now += 1 / pieces
                self.relay.client.data_received(frame(BINARY, bytes(RATE // pieces), masked=True))
            self.lag.tick(self.relay.upstream)

    def server(self, data: bytes) -> None:
        self.relay.upstream.data_received(data)


async def test_a_final_is_as_late_as_its_last_audio_is_old() -> None:
    stream = Stream()
    stream.speak(7)
    stream.server(results(6.5))
    stream.now += 2.0
    stream.server(results(7.0))
    assert stream.seen == pytest.approx([0.5, 2.0], abs=0.001)
    assert stream.lag.greatest == pytest.approx(2.0, abs=0.001)


async def test_audio_that_came_since_the_last_tick_counts_too() -> None:
    stream = Stream()
    stream.speak(3)
    stream.now += 0.5
    stream.relay.client.data_received(frame(BINARY, bytes(RATE // 2), masked=True))
    stream.server(results(3.4))
    assert stream.seen == pytest.approx([0.1], abs=0.001)


async def test_silence_of_the_client_is_not_in_the_lag_of_what_follows() -> None:
    stream = Stream()
    stream.speak(2)
    for _ in range(300):
        stream.now += 1
        stream.lag.tick(stream.relay.upstream)
    stream.speak(2)
    stream.server(results(3.0))
    assert stream.seen == pytest.approx([1.0], abs=0.001)


@pytest.mark.parametrize("rest", [0, 3])
async def test_the_last_words_are_late_from_the_last_audio_on_however_long_they_take(rest: int) -> None:
    stream = Stream()
    stream.speak(7)
    for _ in range(rest):  # some of a second, and then nothing: the client has closed its audio
        stream.now += 0.1
        stream.relay.client.data_received(frame(BINARY, bytes(RATE // 10), masked=True))
    stream.now += 1 - rest / 10
    for _ in range(30):
        stream.lag.tick(stream.relay.upstream)
        stream.now += 1
    stream.server(results(7 + rest / 10))
    assert stream.seen == pytest.approx([31.0 - rest / 10], abs=0.001)


async def test_a_stream_faster_than_a_microphone_is_late_from_when_its_audio_came() -> None:
    stream = Stream()
    stream.relay.client.data_received(frame(BINARY, bytes(RATE * 60), masked=True))
    stream.lag.tick(stream.relay.upstream)
    stream.now += 3
    stream.server(results(60.0))
    assert stream.seen == pytest.approx([3.0])


@pytest.mark.parametrize(
    "message",
    [
        results(1.0, final=False),
        results(1.0, words=""),
        frame(TEXT, b'{"type":"Metadata","duration":1.0,"is_final":true,"x":"transcript"}', masked=False),
        frame(TEXT, b'{"duration" "is_final": true, "transcript": "no JSON"', masked=False),
        frame(BINARY, b'"duration" "is_final":true "transcript":"a"', masked=False),
    ],
)
async def test_only_final_words_count(message: bytes) -> None:
    stream = Stream()
    stream.speak(2)
    stream.server(message)
    assert stream.seen == []
    assert stream.lag.greatest is None


async def test_the_end_of_a_turn_is_a_final_too() -> None:
    stream = Stream()
    stream.relay.upstream.scanner.report_mark = b'"audio_window_end"'
    stream.speak(4)
    turn = {"type": "TurnInfo", "event": "EndOfTurn", "audio_window_end": 3.0, "transcript": "words"}
    stream.server(frame(TEXT, json.dumps(turn).encode(), masked=False))
    stream.server(frame(TEXT, json.dumps(turn | {"event": "Update"}).encode(), masked=False))
    assert stream.seen == pytest.approx([1.0], abs=0.001)


async def test_of_a_flood_a_few_are_looked_at_each_second_and_the_rest_costs_nothing() -> None:
    stream = Stream()
    stream.speak(2)
    for _ in range(1000):
        stream.server(results(1.0))
    assert len(stream.seen) == LOOKED_AT // MEASURED
    assert stream.relay.upstream.scanner.on_report is None
    stream.speak(1)
    stream.server(results(2.0))
    assert len(stream.seen) == LOOKED_AT // MEASURED + 1


async def test_a_stream_without_finals_keeps_few_marks_and_is_still_measured() -> None:
    stream = Stream()
    stream.speak(600, pieces=1)
    assert len(stream.lag._marks) <= 2 * MARKS
    stream.server(results(300.0))
    assert stream.seen == pytest.approx([300.0], abs=1.0)


async def test_after_a_final_nothing_older_is_kept() -> None:
    stream = Stream()
    stream.speak(12)
    stream.server(results(11.5))
    assert len(stream.lag._marks) == 4
    stream.server(results(2.0))  # of another channel: no older than what is kept
    assert stream.seen == pytest.approx([0.5, 1.0], abs=0.001)


async def test_with_another_server_it_ends() -> None:
    stream = Stream()
    stream.speak(2)
    moved = stream.relay._upstream_leg()
    stream.lag.tick(moved)
    assert moved.scanner.on_report is None
    stream.server(results(1.0))
    assert stream.seen == []


async def test_the_first_words_do_not_hide_a_final_nor_count_twice() -> None:
    stream = Stream()
    words: list[float] = []
    stream.relay.first_words.on_words = words.append
    stream.relay.client.data_received(frame(BINARY, bytes(RATE), masked=True))
    stream.server(results(1.0))
    stream.server(results(1.0))
    assert (len(words), len(stream.seen)) == (1, 2)
