import itertools
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_proxy.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    CloseCode,
    ProtocolViolation,
    frame,
    mask_bytes,
)
from ws_proxy.websocket.scanner import MAX_REPORT_BYTES, FrameScanner

CAP = 4096
CUTS = st.lists(st.integers(0, 5000), max_size=8)


@dataclass
class Seen:
    """A scanner under test with everything that came out of it."""

    masked: bool = True
    passes: bool = True
    cap: int = CAP
    controls: list[tuple[int, bytes]] = field(default_factory=list)
    passed: bytes = b""
    violation: ProtocolViolation | None = None

    def __post_init__(self) -> None:
        self.scanner = FrameScanner(
            masked=self.masked, max_message_bytes=self.cap, on_control=self.control, keep_reports=not self.masked
        )

    def control(self, opcode: int, payload: bytes) -> bool:
        self.controls.append((opcode, payload))
        return self.passes

    def feed(self, *chunks: bytes) -> "Seen":
        for chunk in chunks:
            try:
                self.passed += self.scanner.feed(chunk)
            except ProtocolViolation as violation:
                self.passed += violation.passed
                self.violation = violation
                break
        return self

    @property
    def result(self) -> tuple[object, ...]:
        scanner = self.scanner
        reason = (self.violation.code, self.violation.reason, self.violation.offset) if self.violation else None
        return (self.controls, self.passed, reason, scanner.messages, scanner.binary_bytes, scanner.report)


def raw(first: int, length: int, payload: bytes, *, masked: bool, wide: int = 0) -> bytes:
    """A frame from its very bits; `wide` forces a 16- or 64-bit length."""
    bit = 0x80 if masked else 0
    if wide == 8 or length >= 1 << 16:
        head = struct.pack("!BBQ", first, bit | 127, length)
    elif wide == 2 or length >= 126:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = bytes((first, bit | length))
    return head + (b"\1\2\3\4" + mask_bytes(payload, b"\1\2\3\4") if masked else payload)


@st.composite
def valid_streams(draw: st.DrawFn, masked: bool = True) -> bytes:
    """Messages, fragmented or not, with control frames between any two frames.

    Their shape is drawn; the bytes of a payload mean nothing to a scanner and are not.
    """
    data = b""
    lengths = st.lists(st.integers(0, 200), min_size=1, max_size=3)
    for opcode, pieces, control, wide in draw(
        st.lists(
            st.tuples(
                st.sampled_from([TEXT, BINARY]),
                lengths,
                st.sampled_from([0, 0, PING, PONG]),
                st.sampled_from([0, 0, 2, 8]),
            ),
            max_size=4,
        )
    ):
        for index, length in enumerate(pieces):
            if control:
                data += raw(0x80 | control, 3, b"abc", masked=masked)
            first = (opcode if index == 0 else CONTINUATION) | (0x80 if index == len(pieces) - 1 else 0)
            data += raw(first, length, bytes(range(length)), masked=masked, wide=wide)
    return data


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges) if begin < end]


@given(valid_streams(), CUTS)
def test_any_split_of_a_valid_stream_gives_the_same_events_and_passes_every_byte(data: bytes, cuts: list[int]) -> None:
    whole = Seen().feed(data)
    assert whole.violation is None
    assert whole.passed == data
    assert Seen().feed(*split(data, cuts)).result == whole.result


@given(valid_streams(masked=False), CUTS)
def test_the_same_holds_for_a_server_and_for_control_frames_that_are_taken_out(data: bytes, cuts: list[int]) -> None:
    whole = Seen(masked=False, passes=False).feed(data)
    assert whole.violation is None
    assert Seen(masked=False, passes=False).feed(*split(data, cuts)).result == whole.result
    without = Seen(masked=False).feed(whole.passed)
    assert without.controls == []
    assert without.scanner.messages == whole.scanner.messages


@settings(max_examples=150)
@given(valid_streams(), st.binary(min_size=1, max_size=40), CUTS, st.booleans())
def test_any_split_of_any_bytes_is_refused_at_the_same_byte_or_not_at_all(
    data: bytes, garbage: bytes, cuts: list[int], masked: bool
) -> None:
    stream = data + garbage
    assert Seen(masked=masked).feed(*split(stream, cuts)).result == Seen(masked=masked).feed(stream).result


@given(valid_streams(), st.integers(0, 5000))
def test_only_whole_validated_headers_are_passed_on(data: bytes, cut: int) -> None:
    """Whatever is cut off, the passed bytes end inside a payload or at a frame's end, never inside a header."""
    seen = Seen().feed(data[: cut % (len(data) + 1)])
    rest = Seen().feed(seen.passed)
    assert rest.scanner.between_frames is seen.scanner.between_frames
    assert rest.passed == seen.passed
    assert len(data[: cut % (len(data) + 1)]) - len(seen.passed) <= 2 + 4 + 125


GOOD = raw(0x82, 3, b"abc", masked=True)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (raw(0xC2, 0, b"", masked=True), "reserved bits"),
        (raw(0x83, 0, b"", masked=True), "opcode 0x3"),
        (raw(0x8B, 0, b"", masked=True), "opcode 0xb"),
        (raw(0x09, 0, b"", masked=True), "fragmented"),
        (raw(0x80, 0, b"", masked=True), "continuation of no message"),
        (raw(0x02, 1, b"a", masked=True) + raw(0x82, 1, b"b", masked=True), "began inside"),
        (raw(0x82, 1, b"a", masked=False), "must be masked"),
        (raw(0x89, 126, b"x" * 126, masked=True), "125 bytes"),
    ],
)
def test_a_violation_is_refused_with_its_reason_and_what_came_before_it_passes(bad: bytes, words: str) -> None:
    seen = Seen().feed(GOOD + bad)
    assert seen.violation is not None
    assert seen.violation.code == 1002
    assert words in seen.violation.reason
    assert seen.passed.startswith(GOOD)
    assert seen.passed == (GOOD + bad)[: seen.violation.offset]


def test_a_servers_masked_frame_is_refused() -> None:
    seen = Seen(masked=False).feed(raw(0x82, 1, b"a", masked=True))
    assert seen.violation is not None
    assert "must not be masked" in seen.violation.reason


def test_a_servers_mask_is_seen_also_where_its_bit_taken_as_a_length_would_fit_the_chunk() -> None:
    chunk = raw(0x81, 3, b"abc", masked=True)
    seen = Seen(masked=False).feed(chunk + b"x" * (2 + 0x83 - len(chunk)))
    assert seen.violation is not None
    assert seen.passed == b""


@pytest.mark.parametrize(
    "stream",
    [
        raw(0x82, CAP + 1, b"", masked=True),
        raw(0x02, CAP, b"x" * CAP, masked=True) + raw(0x80, 1, b"x", masked=True),
        raw(0x82, 1 << 63, b"", masked=True, wide=8),
        raw(0x82, (1 << 64) - 1, b"", masked=True, wide=8),
    ],
)
def test_a_message_over_the_cap_is_refused_by_its_header_with_1009(stream: bytes) -> None:
    seen = Seen().feed(stream)
    assert seen.violation is not None
    assert seen.violation.code == 1009


def test_a_message_of_exactly_the_cap_passes() -> None:
    assert Seen().feed(raw(0x82, CAP, b"x" * CAP, masked=True)).violation is None


def test_audio_bytes_are_counted_over_fragments_and_text_is_not() -> None:
    seen = Seen().feed(
        raw(0x02, 2, b"ab", masked=True) + raw(0x80, 3, b"cde", masked=True) + raw(0x81, 4, b"text", masked=True)
    )
    assert seen.scanner.binary_bytes == 5
    assert seen.scanner.messages == 2


REPORT = b'{"type":"Results","start":1.5,"duration":2.0}'
OTHER = b'{"type":"SpeechStarted","timestamp":9.0}'


def test_audio_that_is_announced_and_never_comes_is_not_counted() -> None:
    seen = Seen(cap=1 << 20).feed(b"\x82\xff" + (1 << 20).to_bytes(8, "big") + bytes(4) + b"0123456789")
    assert seen.scanner.binary_bytes == 10
    seen.scanner.stop()
    seen.feed(b"thrown away")
    assert seen.scanner.binary_bytes == 10


@given(
    st.lists(st.tuples(st.sampled_from([BINARY, BINARY, TEXT, PING]), st.binary(max_size=300)), max_size=6),
    CUTS,
    st.integers(0, 2000),
    st.one_of(st.none(), st.integers(0, 2000)),
)
def test_what_is_billed_as_raw_audio_is_what_was_passed_on_to_the_byte(
    frames: list[tuple[int, bytes]], cuts: list[int], end: int, stop: int | None
) -> None:
    """Cut off anywhere, stopped anywhere, in chunks of any size: never more than the server was sent."""
    # A zero mask, and payloads that distinguish audio from all else.
    stream, is_audio = b"", b""
    for opcode, payload in frames:
        masked = frame(opcode, payload[:125] if opcode == PING else payload, masked=True)
        size = len(payload[:125] if opcode == PING else payload)
        stream += masked
        is_audio += bytes(len(masked) - size) + (b"\1" if opcode == BINARY else b"\0") * size
    stream = stream[:end]
    seen = Seen()
    places = sorted({cut for cut in (*cuts, stop or 0) if cut < len(stream)} | {0, len(stream)})
    stopped_at, passed = len(stream), None
    for begin, until in itertools.pairwise(places):
        if stop is not None and begin >= stop and not seen.scanner.stopped:
            seen.scanner.stop()
            stopped_at, passed = begin, seen.passed
        seen.feed(stream[begin:until])
    counted = is_audio[:stopped_at].count(1)
    assert seen.scanner.binary_bytes == counted
    # Behind the stop only control frames pass, out of what else there was.
    passed = seen.passed if passed is None else passed
    assert passed == stream[: len(passed)]
    assert is_audio[: len(passed)].count(1) == counted


def test_the_last_message_with_a_duration_is_kept() -> None:
    seen = Seen(masked=False).feed(frame(TEXT, REPORT, masked=False) + frame(TEXT, OTHER, masked=False))
    assert seen.scanner.report == REPORT


def test_a_report_in_fragments_and_single_bytes_is_kept_whole() -> None:
    data = raw(0x01, 10, REPORT[:10], masked=False) + raw(0x80, len(REPORT) - 10, REPORT[10:], masked=False)
    seen = Seen(masked=False).feed(*(data[index : index + 1] for index in range(len(data))))
    assert seen.scanner.report == REPORT


def test_a_message_too_long_to_be_a_report_passes_without_being_kept() -> None:
    long = b'{"duration":1,"x":"' + b"x" * MAX_REPORT_BYTES + b'"}'
    data = raw(0x01, len(long), long, masked=False) + raw(0x80, 0, b"", masked=False)
    seen = Seen(masked=False, cap=1 << 20).feed(data)
    assert seen.passed == data
    assert seen.scanner.report is None


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("whole_messages", [True, False])
def test_an_inserted_frame_is_right_behind_a_frame_and_the_rest_is_dropped(chunk: int, whole_messages: bool) -> None:
    seen = Seen()
    first, second = raw(0x02, 5, b"hello", masked=True), raw(0x80, 2, b"!!", masked=True)
    ping = raw(0x89, 1, b"p", masked=True)

    def put_in(message_ended: bool) -> bytes:
        if whole_messages and not message_ended:
            return b""
        seen.scanner.stop()
        seen.scanner.on_boundary = None
        return b"<here>"

    seen.scanner.on_boundary = put_in
    seen.passes = False
    data = first + second + GOOD + ping + GOOD[:-1]
    seen.feed(*(data[index : index + chunk] for index in range(0, len(data), chunk)))
    assert seen.passed == (first + second if whole_messages else first) + b"<here>"
    assert seen.controls == [(PING, b"p")]
    # The outgoing stream is where it was stopped, whatever the discarded one goes on with.
    assert seen.scanner.between_frames
    assert seen.scanner.between_messages is whole_messages


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_whatever_follows_a_close_is_not_looked_at(chunk: int) -> None:
    seen = Seen(passes=False)
    data = GOOD + raw(0x88, 0, b"", masked=True) + GOOD + b"\xff" * 20
    seen.feed(*(data[index : index + chunk] for index in range(0, len(data), chunk)))
    assert seen.violation is None
    assert seen.passed == GOOD
    assert seen.controls == [(CLOSE, b"")]
    assert seen.scanner.messages == 1
    assert seen.scanner.between_messages


def test_a_violation_in_a_control_frames_payload_has_its_offset() -> None:
    seen = Seen()

    def control(_opcode: int, _payload: bytes) -> bool:
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "bad code")

    seen.scanner._on_control = control
    seen.feed(GOOD, GOOD + raw(0x88, 1, b"x", masked=True))
    assert seen.violation is not None
    assert seen.violation.offset == 2 * len(GOOD)
    assert seen.passed == GOOD + GOOD


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("wide", [0, 2, 8])
def test_a_message_in_one_frame_and_one_chunk_counts_as_it_does_byte_by_byte(
    masked: bool, opcode: int, wide: int
) -> None:
    for size, cap in itertools.product((0, 1, 3, 119, 121, 123, 125, 126, 127, 128, 129, 131, 1000), (CAP, 100)):
        payload = (b'{"duration":1}' + b"x" * size)[:size]
        data = raw(0x80 | opcode, size, payload, masked=masked, wide=wide)
        for chunk in (data, data + b"\x00", data[:-1]):  # a byte too many, a byte too few
            bytewise = Seen(masked=masked, cap=cap).feed(*(chunk[i : i + 1] for i in range(len(chunk))))
            assert Seen(masked=masked, cap=cap).feed(chunk).result == bytewise.result, (size, cap)
