"""What a client gets of one server's messages, and of the next one's, however they are cut."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_proxy.websocket.delivery import MAX_HELD_BYTES, Delivery, _channel, _end
from ws_proxy.websocket.delivery import _place as place
from ws_proxy.websocket.frames import CONTINUATION, PING, TEXT, frame, frame_head
from ws_proxy.websocket.scanner import MAX_REPORTS, FrameScanner


class Line:
    """A delivery, what it sent, and the scanner before it."""

    def __init__(self, channels: int = 1, *, texts: int = 1) -> None:
        """`texts`: messages of text that the client has sent."""
        self.sent: list[bytes] = []
        self.finals: list[bool] = []
        self.delivery = Delivery(channels, self)
        self.scanner = self._scanner()
        client = FrameScanner(masked=True, max_message_bytes=1 << 20, on_control=lambda _opcode, _payload: True)
        for _ in range(texts):
            client.feed(frame(TEXT, b'{"type":"Finalize"}', masked=True))
        self.deliver: Callable[[bytes], None] = self.sent.append
        self.delivery.attach(self.scanner, client, self.sent.append, self)

    def pass_to(self, write: Callable[[bytes], None]) -> None:
        self.deliver = write

    def final(self, *, finalized: bool) -> None:
        self.finals.append(finalized)

    def _scanner(self) -> FrameScanner:
        return FrameScanner(
            masked=False, max_message_bytes=1 << 24, on_control=lambda _opcode, _payload: True, keep_reports=True
        )

    def next_server(self, offset: str) -> None:
        self.scanner = self._scanner()
        self.delivery.continue_at(Decimal(offset), self.scanner, lambda: None)
        self.deliver = self.delivery.write

    def feed(self, data: bytes, splits: list[int] | None = None) -> None:
        ends = sorted({min(split, len(data)) for split in splits or []} | {len(data)})
        begin = 0
        for end in ends:
            if out := self.scanner.feed(data[begin:end]):
                self.deliver(out)
            begin = end

    @property
    def messages(self) -> list[dict[str, Any]]:
        found, data, pos = [], b"".join(self.sent), 0
        while pos < len(data):
            length, start = data[pos + 1], pos + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                length = int.from_bytes(data[pos + 2 : start], "big")
            if data[pos] & 0x0F == TEXT:
                found.append(json.loads(data[start : start + length]))
            pos = start + length
        return found


def results(start: float, duration: float, *, final: bool = True, **more: Any) -> dict[str, Any]:
    return {"type": "Results", "start": start, "duration": duration, "is_final": final, "channel_index": [0, 1], **more}


def text(message: dict[str, Any]) -> bytes:
    return frame(TEXT, json.dumps(message).encode(), masked=False)


NO_PLACE = (0, 1, None)
OPENING = {"type": "Metadata", "duration": 0}
LAST = {"type": "Metadata", "duration": 2.5}
STREAM = (
    text(OPENING)
    + text(results(0, 1))
    + frame_head(TEXT, 10)
    + b'{"type":"x'
    + frame(PING, b"p", masked=False)
    + frame_head(0x80 | CONTINUATION, 2)
    + b'"}'
    + text(results(1, 1, final=False))
)


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_until_a_second_server_comes_every_byte_is_passed_on_as_it_came_in_whole_messages(splits: list[int]) -> None:
    line = Line()
    line.feed(STREAM, splits)
    whole = b"".join(line.sent)
    if len(splits) < 2:
        assert whole.replace(frame(PING, b"p", masked=False), b"") == STREAM.replace(
            frame(PING, b"p", masked=False), b""
        )
    assert sorted(whole) == sorted(STREAM)  # a ping may overtake the message that it came in the middle of
    assert line.delivery.between_messages


@given(st.lists(st.integers(0, 400), max_size=8), st.integers(1, 3))
def test_a_half_message_of_a_lost_server_never_reaches_the_client(splits: list[int], missing: int) -> None:
    line = Line()
    line.feed(text(results(0, 1)) + text(results(1, 1, final=False))[:-missing], splits)
    line.next_server("1")
    line.feed(text(OPENING) + text(results(0, 1.5)), splits)
    assert line.messages == [results(0, 1), results(1, 1.5)]


@given(st.lists(st.integers(0, 2000), max_size=12), st.lists(st.integers(1, 30), max_size=4))
def test_what_another_server_says_is_the_same_however_it_is_cut_into_frames_and_chunks(
    splits: list[int], cuts: list[int]
) -> None:
    said = [
        OPENING,
        {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 0.25},
        results(0, 1.25, final=False, channel={"alternatives": [{"words": [{"word": "é", "start": 0.5, "end": 1}]}]}),
        results(0, 2.5),
        {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 2},
    ]

    def frames(message: dict[str, Any]) -> bytes:
        payload = json.dumps(message, ensure_ascii=False).encode()
        ends = [*sorted({cut for cut in cuts if cut < len(payload)}), len(payload)]
        out, begin = b"", 0
        for number, end in enumerate(ends):
            first = (0x80 if end == ends[-1] else 0) | (CONTINUATION if number else TEXT)
            out += frame_head(first, end - begin) + payload[begin:end]
            begin = end
        return out

    line = Line()
    line.feed(text(OPENING))
    line.next_server("1.5")
    line.feed(b"".join(map(frames, said)), splits)
    start, end = {"timestamp": 1.75}, {"last_word_end": 3.5}
    word = {"word": "é", "start": 2.0, "end": 2.5}
    interim = results(1.5, 1.25, final=False, channel={"alternatives": [{"words": [word]}]})
    assert line.messages == [OPENING, said[1] | start, interim, results(1.5, 2.5), said[4] | end]
    assert json.loads(line.scanner.report or b"") == results(1.5, 2.5)


@pytest.mark.parametrize("index", [[0, 2], [1, 2]])
def test_channels_of_their_own_are_known_by_what_the_server_says_too(index: list[int]) -> None:
    line = Line()
    line.feed(text(results(0, 1) | {"channel_index": index}))
    line.delivery.settle()
    assert line.delivery.final_seconds == 0
    line.feed(text(results(0, 0.5) | {"channel_index": [1 - index[0], 2]}))
    line.delivery.settle()
    assert line.delivery.final_seconds == 0.5


@pytest.mark.parametrize("index", [[7, 1], [-1, 1], [10**400, 2], [True, 1], ["0", 1], [0, 10**9], [0, 0], [0], 5])
def test_a_channel_that_cannot_be_is_not_one(index: Any) -> None:
    line = Line()
    line.feed(text(results(0, 1) | {"channel_index": index}) + text(results(0, 2)))
    line.delivery.settle()
    assert line.delivery.final_seconds in {0, 2}
    line.feed(text(results(2, 1)))
    line.next_server("0")
    line.feed(text(results(0, 1) | {"channel_index": index}))


@settings(max_examples=200)
@given(
    index=st.sampled_from([[0, 1], [1, 2], [5, 3], [0, 64], [0, 99], [-1, 2], [0, 1, 2]]),
    numbers=st.tuples(*[st.one_of(st.integers(-5, 10**12), st.floats(-1, 1e10), st.sampled_from(["1", None]))] * 2),
    tight=st.booleans(),
    order=st.permutations(["type", "channel_index", "duration", "start", "is_final", "channel"]),
    usual=st.booleans(),
)
def test_a_final_is_of_the_same_place_however_it_is_written(
    index: list[int], numbers: tuple[Any, Any], order: list[str], *, tight: bool, usual: bool
) -> None:
    values = {"type": "Results", "channel_index": index, "duration": numbers[0], "start": numbers[1], "is_final": True}
    names = ["type", "channel_index", "duration", "start", "is_final", "channel"] if usual else order
    message = {name: values.get(name, {"alternatives": []}) for name in names}
    raw = json.dumps(message, separators=(",", ":") if tight else None).encode()
    assert place(raw) == (*_channel(message), _end(message))


@pytest.mark.parametrize("number", ["01", "1.", "+1", "1e1", "0x1", ".5", "1_0", "NaN"])
def test_what_a_json_parser_reads_otherwise_or_not_at_all_is_left_to_it(number: str) -> None:
    raw = f'{{"type":"Results","channel_index":[0,1],"duration":1,"start":{number},"is_final":true}}'
    assert place(raw.encode()) == ((0, 1, 11.0) if number == "1e1" else (0, 1, None) if number == "NaN" else NO_PLACE)


def anything(draw: random.Random, depth: int = 0) -> Any:
    """Any value of JSON as Python writes it, with the names of a message's parts."""
    kind = draw.randrange(8 if depth < 4 else 6)
    if kind == 7:
        return [anything(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind == 6:
        names = draw.sample(["start", "end", "words", "alternatives", "word", "x"], draw.randrange(4))
        return {name: anything(draw, depth + 1) for name in names}
    numbers = [0, 1, -1, 2.5, -0.02, 1e308, -1e308, 1e-300, float("nan"), float("inf"), 10**400, -(10**400), True]
    return draw.choice([*numbers, None, "", "x", "\ud800"])


def said(draw: random.Random) -> dict[str, Any]:
    """A message of a server, right or not."""
    message: dict[str, Any] = {
        "type": draw.choice(["Results"] * 4 + ["Metadata", "SpeechStarted", "UtteranceEnd", anything(draw)])
    }
    for name in ("start", "duration", "channel", "timestamp", "last_word_end", "words"):
        if draw.random() < 0.5:
            message[name] = anything(draw)
    for name in ("is_final", "from_finalize"):
        message[name] = draw.choice([True, False, anything(draw)])
    message["channel_index"] = draw.choice([[0, 1], [0, 2], [1, 2], [anything(draw), anything(draw)], anything(draw)])
    return message


def test_nothing_that_a_server_says_breaks_a_stream_and_its_last_place_is_a_time() -> None:
    for seed in range(300):
        draw = random.Random(seed)
        line = Line(draw.choice([1, 2]))
        count = draw.randrange(8), draw.randrange(8)
        for _ in range(count[0]):
            line.feed(text(said(draw)))
        line.delivery.settle()
        assert 0 <= line.delivery.final_seconds < 2e9, seed
        line.next_server("1.5")
        for _ in range(count[1]):
            line.feed(text(said(draw)))
        line.delivery.flush(closed=False)
        line.delivery.settle()
        assert 0 <= line.delivery.final_seconds < 2e9, seed
        assert len(line.messages) <= sum(count), seed


def test_the_last_metadata_waits_for_the_close_and_is_forgotten_when_another_server_goes_on() -> None:
    line = Line()
    line.feed(text(OPENING) + text(results(0, 2.5)) + text(LAST))
    assert line.messages == [OPENING, results(0, 2.5)]
    line.next_server("2.5")
    line.feed(text(OPENING) + text(results(0, 1)) + text({"type": "Metadata", "duration": 1}))
    line.delivery.flush(closed=True)
    assert line.messages == [OPENING, results(0, 2.5), results(2.5, 1), {"type": "Metadata", "duration": 3.5}]
    assert json.loads(line.scanner.report or b"") == {"type": "Metadata", "duration": 3.5}


@pytest.mark.parametrize("after", ["close", "message"])
def test_the_last_metadata_of_an_only_server_is_passed_on_as_it_came(after: str) -> None:
    line = Line()
    line.feed(text(LAST) + (text(results(0, 1)) if after == "message" else b""))
    line.delivery.flush(closed=True)
    line.feed(text(results(1, 1)))
    assert line.messages == [LAST, *([results(0, 1)] if after == "message" else []), results(1, 1)]


def test_a_server_that_took_over_and_has_nothing_left_to_hear_still_gives_the_closing_metadata() -> None:
    line = Line()
    line.feed(text(results(0, 2.5)))
    line.next_server("2.5")
    line.feed(text(OPENING))
    line.delivery.flush(closed=False)
    assert line.messages == [results(0, 2.5)]
    line.delivery.flush(closed=True)
    assert line.messages[-1] == {"type": "Metadata", "duration": 2.5}


def test_a_message_that_is_too_long_to_be_held_is_passed_on_in_pieces() -> None:
    line = Line()
    long = text({"type": "Other", "x": "x" * 2 * MAX_HELD_BYTES})
    line.feed(long[: MAX_HELD_BYTES + 100])
    seen = [line.delivery.between_messages]
    line.feed(long[MAX_HELD_BYTES + 100 :])
    line.feed(text(results(0, 1)))
    assert [*seen, line.delivery.between_messages] == [False, True]
    assert b"".join(line.sent) == long + text(results(0, 1))


def test_finals_are_looked_at_when_that_matters_and_each_reply_to_a_finalize_is_reported() -> None:
    line = Line()
    line.feed(text(results(0, 1)))
    line.delivery.settle()
    assert line.delivery.final_seconds == 1
    line.feed(text(results(1, 1, from_finalize=True)) + text(results(2, 0.5)) + text(results(2.5, 9, final=False)))
    assert line.finals == []
    line.delivery.settle()
    assert (line.finals, line.delivery.final_seconds) == ([True], 2.5)
    line.next_server("2.5")
    line.feed(text(results(0, 1)))
    assert (line.finals, line.delivery.final_seconds) == ([True, False], 3.5)


def test_what_is_not_looked_at_yet_is_bounded() -> None:
    line = Line()
    for number in range(MAX_REPORTS):
        line.feed(text(results(number, 1)))
    assert line.delivery.final_seconds == MAX_REPORTS


def test_a_finalize_of_two_channels_is_replied_to_when_both_have() -> None:
    line = Line(channels=2)
    line.feed(text(results(0, 1, from_finalize=True)))
    line.delivery.settle()
    assert (line.finals, line.delivery.final_seconds) == ([False], 0)
    line.feed(text(results(0, 0.5, from_finalize=True) | {"channel_index": [1, 2]}))
    line.delivery.settle()
    assert (line.finals, line.delivery.final_seconds) == ([False, True], 0.5)


def written(message: dict[str, Any], spelling: int) -> bytes:
    """A message as one server or another may write it: `type` at another place, blanks or none, in fragments."""
    names = list(message)[spelling % len(message) :] + list(message)[: spelling % len(message)]
    separators = ((",", ":"), (", ", ": "), (" ,", " :\t"))[spelling % 3]
    payload = json.dumps({name: message[name] for name in names}, separators=separators).encode()
    if spelling % 5:
        return frame(TEXT, payload, masked=False)
    return frame_head(TEXT, 3) + payload[:3] + frame_head(0x80 | CONTINUATION, len(payload) - 3) + payload[3:]


@settings(max_examples=200)
@given(
    said=st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 30)), max_size=80),
    looks=st.sets(st.integers(0, 80)),
    channels=st.integers(1, 2),
    text_sent=st.booleans(),
)
def test_what_is_read_late_says_what_it_would_have_said_at_once(
    said: list[tuple[bool, bool, int]], looks: set[int], channels: int, *, text_sent: bool
) -> None:
    line = Line(channels, texts=text_sent)
    ends, replies, due = [0] * channels, 0, 0
    for number, (final, from_finalize, spelling) in enumerate(said):
        channel = number % channels
        finalized = final and from_finalize and text_sent
        message = results(number, 1, final=final, from_finalize=finalized, transcript='"is_final":true {,')
        line.feed(written(message | {"channel": {}, "channel_index": [channel, channels]}, spelling))
        ends[channel] = number + 1 if final else ends[channel]
        replies += finalized
        if replies == channels:
            replies, due = 0, due + 1
        if number in looks:
            line.delivery.settle()
            assert line.delivery.final_seconds == min(ends)
    line.delivery.settle()
    assert (line.delivery.final_seconds, line.finals.count(True)) == (min(ends), due)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["results", "opening", "last", "other"]), st.integers(0, 30)), max_size=12),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_a_closing_metadata_waits_for_what_follows_it_wherever_it_comes_and_however_it_is_written(
    kinds: list[tuple[str, int]], splits: list[int]
) -> None:
    made = {"results": results(0, 1, transcript='"Metadata"'), "opening": OPENING, "last": LAST, "other": {"type": "x"}}
    messages = [(made[kind], written(made[kind], spelling)) for kind, spelling in kinds]
    line = Line()
    line.feed(b"".join(raw for _, raw in messages), splits)
    late = int(bool(messages) and messages[-1][0] == LAST)
    before = b"".join(raw for _, raw in messages[: len(messages) - late])
    assert b"".join(line.sent) == before
    line.delivery.flush(closed=True)
    assert b"".join(line.sent) == b"".join(raw for _, raw in messages)


def test_a_chunk_of_whole_messages_is_passed_on_as_it_came_and_a_part_of_one_is_held() -> None:
    line = Line()
    chunk = text(results(0, 1)) + text({"type": "SpeechStarted", "timestamp": 0})
    line.feed(chunk)
    assert line.sent == [chunk]
    assert line.deliver == line.sent.append
    line.feed(text(results(1, 1))[:-1])
    assert line.deliver == line.delivery.write
    line.feed(text(results(1, 1))[-1:])
    assert line.deliver == line.sent.append
