from decimal import Decimal
from unittest.mock import Mock

import pytest

from ws_proxy.websocket.continuation import LEAST_STREAMS, AudioShape, Continuation, is_servers_fault
from ws_proxy.websocket.frames import BINARY, TEXT, frame
from ws_proxy.websocket.leg import _NOBODY, KeepingLeg
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.window import CHUNK_OVERHEAD, LOOK_BYTES, Budget


@pytest.mark.parametrize(
    ("code", "reason", "found"),
    [
        (1011, "NET-0000: the recognition process died; connect again.", True),
        (1011, "", True),
        (1012, "", True),
        (1013, "try again later", True),
        (1001, "going away", True),
        (1011, "NET-0001: did not receive audio data", False),
        (1011, "DATA-0000: undecodable", False),
        (1000, "", False),
        (1008, "", False),
        (1002, "", False),
        (1005, "", False),
        (4000, "", False),
    ],
)
def test_a_server_that_is_at_fault_or_goes_may_be_replaced(code: int, reason: str, *, found: bool) -> None:
    assert is_servers_fault(code, reason) is found


def continuation(shape: AudioShape, budget: Budget | None = None, sent: int = 1 << 20) -> Continuation:
    kept = Continuation(shape, 20, budget or Budget(1 << 30))
    client = FrameScanner(masked=True, max_message_bytes=1 << 30, on_control=lambda _opcode, _payload: True)
    client.feed(frame(BINARY, bytes(sent), masked=True))
    kept.attach(client, Mock())
    return kept


def keep(kept: Continuation, data: bytes, times: int) -> None:
    """The client's connection brings it so many times."""
    assert kept._client is not None
    leg = KeepingLeg(_NOBODY, "client", kept._client, masked=False)
    leg.keep(kept.window)
    for _ in range(times):
        leg.data_received(data)


def hear(kept: Continuation, data: bytes) -> None:
    """The client sends it."""
    assert kept._client is not None
    kept._client.feed(data)


def deliver(kept: Continuation, *messages: bytes) -> None:
    scanner = FrameScanner(
        masked=False, max_message_bytes=1 << 20, on_control=lambda _opcode, _payload: True, keep_reports=True
    )
    assert kept._client is not None
    kept.delivery.attach(scanner, kept._client, lambda _data: None, Mock())
    for message in messages:
        scanner.feed(frame(TEXT, message, masked=False))


@pytest.mark.parametrize(("rate", "end"), [(16_000, 0.1), (44_100, 0.123), (8000, 0.0301)])
def test_another_server_begins_at_the_sample_where_the_last_final_words_end(rate: int, end: float) -> None:
    kept = continuation(AudioShape(4, rate, 1))
    kept.window.chunks.append(frame(BINARY, bytes(4 * rate), masked=True))
    deliver(kept, b'{"type":"Results","start":0.01,"duration":%f,"is_final":true}' % (end - 0.01))
    offset, again = kept.next_server()
    assert again == (1 << 20) - round(end * rate) * 4
    assert abs(offset - Decimal(round(end * rate)) / rate) < Decimal("1e-9")


def test_a_server_that_reports_more_audio_than_it_was_sent_is_not_believed() -> None:
    kept = continuation(AudioShape(2, 16_000, 1), sent=1001)
    kept.window.chunks.append(frame(BINARY, bytes(1001), masked=True))
    deliver(kept, b'{"type":"Results","start":0,"duration":9,"is_final":true}')
    assert kept.next_server() == (Decimal("0.03125"), 1)


def claims(channel: int, start: float, duration: float) -> bytes:
    return b'{"type":"Results","channel_index":[%d,2],"start":%g,"duration":%g,"is_final":true}' % (
        channel,
        start,
        duration,
    )


def test_audio_that_comes_after_a_claim_of_more_is_not_final() -> None:
    kept = continuation(AudioShape(2, 16_000, 1), sent=32_000)
    send = kept.window.chunks.append
    send(frame(BINARY, bytes(32_000), masked=True))
    deliver(kept, b'{"type":"Results","start":0,"duration":90,"is_final":true}')
    assert kept.next_server() == (Decimal(1), 0)
    later = frame(BINARY, bytes(16_000), masked=True)
    hear(kept, later)
    send(later)
    assert kept.next_server() == (Decimal(1), 16_000)


def test_no_channel_is_silent_for_a_server_that_claimed_finals_far_beyond_its_audio() -> None:
    kept = continuation(AudioShape(4, 16_000, 2), sent=64_000)
    kept.window.chunks.append(frame(BINARY, bytes(64_000), masked=True))
    deliver(kept, claims(0, 0, 0.5), claims(1, 0, 9000))
    offset, _ = kept.next_server()
    assert offset == Decimal("0.5")
    second = FrameScanner(masked=False, max_message_bytes=1 << 20, on_control=lambda _opcode, _payload: True)
    got: list[bytes] = []
    kept.delivery._send = got.append
    kept.delivery.continue_at(offset, second, lambda: None)

    def says(message: bytes) -> list[bytes]:
        got.clear()
        kept.delivery.write(frame(TEXT, message, masked=False))
        return got

    assert says(claims(1, 0, 0.5)) == [], "the client has had that"
    says(claims(1, 0, 7000))
    hear(kept, frame(BINARY, bytes(64_000), masked=True))
    assert len(says(claims(1, 0.5, 0.5))) == 1, "a second more was sent"


def test_what_only_looks_like_a_final_result_is_none() -> None:
    kept = continuation(AudioShape(2, 16_000, 1))
    kept.window.chunks.append(frame(BINARY, bytes(32_000), masked=True))
    deliver(
        kept,
        b'{"type":"Results","start":0,"duration":1,"is_final":false,"t":"\\"is_final\\":true"}',
        b'{"type":"Results","start":0,"duration":"1","is_final":true}',
        b'{"type":"Results","start":0,"duration":1e400,"is_final":true}',
        b'[{"is_final":true,"duration":1}]',
        *(
            b'{"type":"Results","is_final":true,"start":%s,"duration":%s}' % pair
            for number in (b"1" + b"0" * 400, b"-1" + b"0" * 400, b"NaN", b"-Infinity", b"true", b"1e400")
            for pair in ((number, b"0.5"), (b"0.5", number))
        ),
        b'{"type":"Results","is_final":true,"start":-5,"duration":1}',
    )
    assert kept.next_server()[0] == 0


def test_one_streams_window_takes_no_more_than_its_share_of_the_process() -> None:
    budget = Budget(16 << 20)
    kept = continuation(AudioShape(8 * 4, 192_000, 8), budget)
    keep(kept, frame(BINARY, bytes(64_000), masked=True), 400)
    assert budget.used <= budget.limit // LEAST_STREAMS + LOOK_BYTES + 128_000
    kept.release()


def test_what_a_window_holds_is_given_back() -> None:
    budget = Budget(1 << 30)
    kept = continuation(AudioShape(2, 16_000, 1), budget)
    keep(kept, frame(BINARY, bytes(10_000), masked=True), 200)
    assert budget.used > 0
    assert budget.torn == 1
    assert not kept.possible
    kept.release()
    assert (budget.used, budget.torn) == (0, 0)


def test_chunks_that_cost_more_than_their_bytes_are_counted_within_a_second() -> None:
    budget = Budget(1 << 30)
    kept = continuation(AudioShape(2, 16_000, 1), budget)
    keep(kept, frame(BINARY, b"ab", masked=True), 500)
    kept.tick(waiting=False)
    assert budget.used >= 500 * CHUNK_OVERHEAD
    kept.release()
    assert budget.used == 0
