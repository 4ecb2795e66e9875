"""The window of a stream against a plain model of it: lists of messages, each with its place in the audio."""

import json
from dataclasses import dataclass
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_proxy.websocket.frames import BINARY, CONTINUATION, PING, TEXT, frame_head, mask_bytes
from ws_proxy.websocket.leg import _NOBODY, KeepingLeg
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.window import CHUNK_OVERHEAD, COUNT_BYTES, LOOK_BYTES, MAX_SETTINGS_BYTES, Budget, ReplayWindow

FINALIZE, KEEP_ALIVE = b'{"type":"Finalize"}', b'{"type": "KeepAlive"}'
CONFIGURE = '{"type":"Configure","wörd":1}'.encode()
PLENTY = 1 << 30


@dataclass(frozen=True)
class Message:
    opcode: int
    payload: bytes
    cuts: tuple[int, ...] = ()  # where it is cut into fragments
    mask: bytes = b"\1\2\3\4"

    def frames(self) -> bytes:
        ends = [*sorted(cut % (len(self.payload) + 1) for cut in self.cuts), len(self.payload)]
        out, begin = b"", 0
        for number, end in enumerate(ends):
            piece, begin = self.payload[begin:end], end
            first = (0x80 if number == len(ends) - 1 else 0) | (self.opcode if not number else CONTINUATION)
            out += frame_head(first, len(piece), self.mask) + mask_bytes(piece, self.mask)
        return out


def scanner(found: list[tuple[int, bytes]] | None = None) -> FrameScanner:
    def control(opcode: int, payload: bytes) -> bool:
        if found is not None:
            found.append((opcode, payload))
        return True

    return FrameScanner(masked=True, max_message_bytes=1 << 20, on_control=control)


def messages_in(data: bytes) -> list[tuple[int, bytes]]:
    """Every message of a valid stream of frames; one that is not finished too."""
    scanner().feed(data)  # raises for an invalid one
    found: list[tuple[int, bytes]] = []
    pos = 0
    while pos < len(data):
        opcode, length, start = data[pos] & 0x0F, data[pos + 1] & 0x7F, pos + 6
        if length >= 126:
            start += 2 if length == 126 else 8
            length = int.from_bytes(data[pos + 2 : start - 4], "big")
        payload = mask_bytes(data[start : start + length], data[start - 4 : start])
        if opcode == CONTINUATION:
            found[-1] = (found[-1][0], found[-1][1] + payload)
        elif opcode <= BINARY:
            found.append((opcode, payload))
        pos = start + length
    return found


def window(limit: int = PLENTY, budget: Budget | None = None) -> ReplayWindow:
    return ReplayWindow(limit, budget or Budget(PLENTY), Mock())


def client(kept: ReplayWindow) -> KeepingLeg:
    """What it receives is kept, as that of a stream's client is."""
    leg = KeepingLeg(_NOBODY, "client", scanner(), masked=False)
    leg.keep(kept)
    return leg


MESSAGES = st.lists(
    st.builds(
        Message,
        opcode=st.just(BINARY),
        payload=st.binary(min_size=1, max_size=300),
        cuts=st.lists(st.integers(0, 300), max_size=2).map(tuple),
        mask=st.binary(min_size=4, max_size=4),
    )
    | st.builds(
        Message,
        opcode=st.just(TEXT),
        payload=st.sampled_from([FINALIZE, KEEP_ALIVE, CONFIGURE, b"no json"]),
        cuts=st.lists(st.integers(0, 30), max_size=2).map(tuple),
        mask=st.binary(min_size=4, max_size=4),
    )
    | st.just(Message(PING, b"ping")),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    MESSAGES,
    st.lists(st.integers(0, 4000), max_size=30),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 4000)), max_size=4),
)
def test_what_is_sent_again_is_the_rest_of_the_audio_with_the_texts_in_their_places_and_every_setting(
    messages: list[Message], splits: list[int], trims: list[tuple[int, int]]
) -> None:
    stream = b"".join(message.frames() for message in messages)
    ends = sorted({min(split, len(stream)) for split in splits} | {len(stream)})
    kept, begin = window(), 0
    leg = client(kept)
    scan = leg.scanner
    for begin_at, end in zip([0, *ends], ends, strict=False):
        leg.data_received(stream[begin_at:end])
        for at, until in trims:
            # A server reports no more audio than it was sent.
            if at <= end:
                begin = max(begin, min(until, scan.binary_bytes))
                assert kept.trim(begin) == begin
    found = messages_in(b"".join(kept.replay()))
    audio = b"".join(message.payload for message in messages if message.opcode == BINARY)
    assert b"".join(payload for opcode, payload in found if opcode == BINARY) == audio[begin:]

    # Each text with the audio before it, in the whole stream and in what is sent again.
    def placed(stream: list[tuple[int, bytes]], at: int) -> list[tuple[int, bytes]]:
        texts = []
        for opcode, payload in stream:
            if opcode == BINARY:
                at += len(payload)
            else:
                texts.append((at, payload))
        return texts

    everything = placed([(m.opcode, m.payload) for m in messages if m.opcode <= BINARY], 0)
    again = placed(found, begin)
    late = [text for text in everything if text[0] > begin]
    assert [text for text in again if text[0] > begin] == late
    # At the very place where it begins: everything that follows, and what may not be lost of what came before.
    due = [payload for at, payload in everything if at <= begin and payload not in (FINALIZE, KEEP_ALIVE)]
    assert [payload for at, payload in again if at <= begin and payload not in (FINALIZE, KEEP_ALIVE)] == due
    waiting = [payload for at, payload in everything if at == begin and payload == FINALIZE]
    assert [payload for at, payload in again if payload == FINALIZE and at <= begin] == waiting


# What nearly every client sends: messages of audio in a frame and chunk each, runs of them of one length.
RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 7, 125, 126, 200]), st.integers(1, 6), st.sampled_from([BINARY, TEXT, PING])),
    max_size=10,
)


@settings(max_examples=300)
@given(RUNS, st.lists(st.integers(0, 3000), max_size=6).map(sorted))
def test_runs_of_messages_alike_are_trimmed_to_the_byte_with_what_stands_between_them(
    runs: list[tuple[int, int, int]], trims: list[int]
) -> None:
    kept, audio, texts = window(), b"", []
    leg = client(kept)
    for number, (size, times, opcode) in enumerate(runs):
        for time in range(times):
            payload = bytes([number, time] * size)[:size]
            if opcode == TEXT:
                payload = b'{"type":"Configure","n":%d}' % number
                texts.append(payload)
            elif opcode == BINARY:
                audio += payload
            leg.data_received(Message(opcode, payload[:100] if opcode == PING else payload).frames())
    for trim in trims:
        until = min(trim, len(audio))
        assert kept.trim(until) == until
        found = messages_in(b"".join(kept.replay()))
        assert b"".join(payload for opcode, payload in found if opcode == BINARY) == audio[until:]
        assert [payload for opcode, payload in found if opcode == TEXT] == texts
        assert kept.trim(until // 2) == until  # nothing comes back
    assert kept.size == sum(map(len, kept.chunks)) + CHUNK_OVERHEAD * len(kept.chunks)


def with_a_head_of_eight(payload: bytes) -> bytes:
    """A message whose length takes two bytes more than it needs."""
    return bytes((0x80 | BINARY, 0x80 | 126)) + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


# Chunks that are alike, and what can stand among them: longer heads in chunks of the same length, texts, pings,
# fragments, several messages in a chunk, and one in several.
CHUNKS = st.lists(
    st.tuples(
        st.sampled_from(["alike"] * 6 + ["long head", "text", "ping", "two", "fragments", "pieces", "large"]),
        st.integers(1, 5),
        st.sampled_from([20, 20, 20, 134, 22]),
    ),
    max_size=12,
)


def chunks_of(kind: str, size: int, fill: bytes) -> tuple[list[bytes], bytes, list[bytes]]:
    """What arrives of a kind in chunks of `size` (where that can be); its audio, its texts."""
    payload = fill * (size - (6 if size < 132 else 8))
    one = Message(BINARY, payload).frames()
    if kind == "long head":
        payload = fill * (size - 8)
        return [with_a_head_of_eight(payload)], payload, []
    if kind == "text":
        text = b"x" * len(payload)
        return [Message(TEXT, text).frames()], b"", [text]
    if kind == "ping":
        return [Message(PING, payload[:100]).frames()], b"", []
    if kind == "two":
        return [one + one], payload * 2, []
    if kind == "fragments":
        whole = Message(BINARY, payload, cuts=(3,)).frames()
        return [whole[:9], whole[9:]], payload, []
    if kind == "pieces":
        return [one[:3], one[3:9], one[9:]], payload, []
    if kind == "large":
        whole = Message(BINARY, payload * 5).frames()
        return [whole[at : at + size] for at in range(0, len(whole), size)], payload * 5, []
    return [one], payload, []


@settings(max_examples=500, deadline=None)
@given(CHUNKS, st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3000)), max_size=8), st.integers(0, 3000))
def test_dropping_whole_chunks_unread_leaves_what_reading_them_would(
    kinds: list[tuple[str, int, int]], looks: list[tuple[int, int]], last: int
) -> None:
    kept = window()
    leg = client(kept)
    arrived: list[bytes] = []
    audio, texts = b"", []
    for number, (kind, times, size) in enumerate(kinds):
        for time in range(times):
            pieces, sound, said = chunks_of(kind, size, bytes([1 + number * 16 + time]))
            arrived += pieces
            audio += sound
            texts += said
    begin = 0
    for number, chunk in enumerate(arrived, 1):
        leg.data_received(chunk)
        for at, until in looks:
            if at != number:
                continue
            begin = max(begin, min(until, leg.scanner.binary_bytes))
            kept.grown()
            if not (leg.scanner.whole and kept.drop_whole(begin, leg.scanner.binary_bytes, leg.scanner.others)):
                assert kept.trim(begin) == begin
            assert kept.begin <= begin
            assert kept.size == sum(map(len, kept.chunks)) + CHUNK_OVERHEAD * len(kept.chunks)
    begin = max(begin, min(last, len(audio)))
    assert kept.trim(begin) == begin
    found = messages_in(b"".join(kept.replay()))
    assert b"".join(payload for opcode, payload in found if opcode == BINARY) == audio[begin:]
    assert [payload for opcode, payload in found if opcode == TEXT] == texts


def test_chunks_alike_are_dropped_unread() -> None:
    kept = window()
    leg = client(kept)
    for _ in range(10):
        leg.data_received(Message(BINARY, bytes(3200)).frames())
    kept.trim(3200)  # what a stream begins with is read
    assert kept.grown() > 0
    assert kept.drop_whole(5 * 3200 + 100, 10 * 3200, leg.scanner.others)
    assert (kept.begin, len(kept.chunks), kept.size) == (5 * 3200, 5, 5 * (3208 + CHUNK_OVERHEAD))


@given(MESSAGES, st.integers(1, 40))
def test_the_live_stream_goes_on_behind_what_was_sent_again_wherever_it_was_cut(
    messages: list[Message], size: int
) -> None:
    stream = b"".join(message.frames() for message in messages)
    middle = len(stream) // 2
    kept = window()
    leg = client(kept)
    for at in range(0, middle, size):
        leg.data_received(stream[at : min(at + size, middle)])
    begin = kept.trim(leg.scanner.binary_bytes)
    sent = kept.replay()
    leg.pass_to(sent.append)
    leg.data_received(stream[middle:])
    audio = b"".join(message.payload for message in messages if message.opcode == BINARY)
    found = messages_in(b"".join(sent))
    assert b"".join(payload for opcode, payload in found if opcode == BINARY) == audio[begin:]


def test_a_finalize_that_was_replied_to_is_not_sent_again_and_the_one_after_it_is() -> None:
    kept = window()
    leg = client(kept)
    stream = [Message(BINARY, b"abcd"), Message(TEXT, FINALIZE), Message(TEXT, FINALIZE), Message(BINARY, b"ef")]
    for message in stream:
        leg.data_received(message.frames())
    assert kept.trim(4, finalized=True) == 4
    assert messages_in(b"".join(kept.replay())) == [(TEXT, FINALIZE), (BINARY, b"ef")]
    assert kept.trim(4, finalized=True) == 4
    assert messages_in(b"".join(kept.replay())) == [(BINARY, b"ef")]
    assert kept.trim(4, finalized=True) == 4  # a reply to nothing that is known
    assert messages_in(b"".join(kept.replay())) == [(BINARY, b"ef")]


def test_the_silence_before_a_finalize_is_final_too() -> None:
    kept = window()
    leg = client(kept)
    for message in (Message(BINARY, b"abcdefgh"), Message(TEXT, FINALIZE), Message(BINARY, b"ij")):
        leg.data_received(message.frames())
    assert kept.trim(4, finalized=True) == 8
    assert messages_in(b"".join(kept.replay())) == [(BINARY, b"ij")]


def test_a_window_that_is_full_drops_its_oldest_audio_and_its_bounds_hold() -> None:
    budget = Budget(PLENTY)
    kept = window(100_000, budget)
    leg = client(kept)
    piece = Message(BINARY, bytes(3200)).frames()
    most = 0
    for _ in range(200):
        leg.data_received(piece)
        most = max(most, kept.size)
    assert most <= 100_000 + LOOK_BYTES + len(piece) + CHUNK_OVERHEAD
    assert 0 < kept.begin < 200 * 3200
    assert len(b"".join(payload for _, payload in messages_in(b"".join(kept.replay())))) == 200 * 3200 - kept.begin
    kept.release()
    assert budget.used == 0


def test_tiny_chunks_count_with_what_they_cost() -> None:
    kept = window(50_000)
    leg = client(kept)
    for _ in range(50_000):
        leg.data_received(Message(BINARY, b"x").frames())
    assert len(kept.replay()) * CHUNK_OVERHEAD < 50_000 + LOOK_BYTES


def test_a_process_holds_no_more_than_its_budget() -> None:
    budget = Budget(200_000)
    windows = [window(budget=budget) for _ in range(20)]
    legs = [client(kept) for kept in windows]
    for _ in range(100):
        for leg in legs:
            leg.data_received(Message(BINARY, bytes(1000)).frames())
            # Not only where one is trimmed.
            assert 0 <= sum(each.size for each in windows) - budget.used < 20 * COUNT_BYTES
            assert budget.used <= 200_000 + 20 * (COUNT_BYTES + 2000)


def test_a_frozen_window_drops_nothing() -> None:
    kept = window(10_000)
    leg = client(kept)
    kept.frozen = True
    for _ in range(100):
        leg.data_received(Message(BINARY, bytes(1000)).frames())
    assert kept.full
    assert kept.begin == 0
    assert len(kept.replay()) == 100


@pytest.mark.parametrize(("texts", "complete"), [(1, True), (MAX_SETTINGS_BYTES // 100 + 1, False)])
def test_a_client_that_sends_settings_without_end_makes_its_stream_one_that_cannot_be_continued(
    texts: int, *, complete: bool
) -> None:
    kept = window()
    leg = client(kept)
    for _ in range(texts):
        leg.data_received(Message(TEXT, json.dumps({"type": "Configure", "x": "x" * 80}).encode()).frames())
        leg.data_received(Message(BINARY, b"ab").frames())
    kept.trim(2 * texts)
    assert kept.complete is complete
    # They are not kept for nothing.
    assert sum(map(len, kept.replay())) <= MAX_SETTINGS_BYTES + 16 * texts
    assert complete or kept.replay() == []


def test_an_empty_message_behind_the_last_final_words_is_sent_again() -> None:
    kept = window()
    leg = client(kept)
    for message in (Message(BINARY, b"abcd"), Message(BINARY, b"")):  # the latter is a CloseStream
        leg.data_received(message.frames())
    kept.trim(4)
    assert messages_in(b"".join(kept.replay())) == [(BINARY, b"")]
