"""Bytes of ours in a stream of a peer's frames: where they go, and what does not follow them."""

from typing import Any
from unittest.mock import Mock

import pytest

from ws_proxy.websocket.frames import TEXT, frame
from ws_proxy.websocket.insertion import Insertion, Insertions
from ws_proxy.websocket.scanner import FrameScanner

FIRST = bytes((TEXT, 2)) + b"ab"  # no FIN: the message goes on
LAST = bytes((0x80, 2)) + b"cd"
NEXT = frame(TEXT, b"next", masked=False)


class Source:
    """What an insertion needs of a leg."""

    def __init__(self) -> None:
        self.scanner = FrameScanner(masked=False, max_message_bytes=1000, on_control=lambda _opcode, _payload: True)
        self.behind: list[Any] = []

    def after_chunk(self, callback: Any) -> None:
        self.behind.append(callback)


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def never() -> None:
    raise AssertionError


@pytest.mark.parametrize(("whole_messages", "passed"), [(False, FIRST + b"OURS"), (True, FIRST + LAST + b"OURS")])
def test_they_go_to_the_next_boundary_and_nothing_follows(whole_messages: bool, passed: bytes) -> None:
    source: Any = Source()
    timer: Any = Timer()
    source.scanner.feed(FIRST[:3])
    Insertion(source, b"OURS", whole_messages=whole_messages, then=print, otherwise=never, timer=timer)
    assert source.scanner.feed(FIRST[3:] + LAST + NEXT) == passed[3:]
    assert (source.behind, timer.cancelled, source.scanner.feed(NEXT)) == ([print], True, b"")


def test_one_that_is_cancelled_changes_nothing() -> None:
    source: Any = Source()
    timer: Any = Timer()
    waiting = Insertion(source, b"OURS", whole_messages=True, then=never, otherwise=never, timer=timer)
    waiting.cancel()
    assert source.scanner.feed(NEXT) == NEXT
    assert (source.behind, timer.cancelled) == ([], True)


def towards(source: Any) -> Any:
    """A leg whose peer is in the middle of a message."""
    leg = Mock(peer=source, at_message_boundary=False, at_frame_boundary=False)
    source.transport = Mock()
    source.scanner.feed(FIRST[:3])
    return leg


def test_a_later_one_takes_the_place_of_one_that_waits_and_one_whose_time_is_over_is_none() -> None:
    source: Any = Source()
    leg, ours, timers, ended = towards(source), Insertions(), [Timer(), Timer()], []
    waits: list[Any] = []

    def within(number: int) -> Any:
        def start(expired: Any) -> Timer:
            waits.append(expired)
            return timers[number]

        return start

    ours.add(leg, b"1", whole_messages=True, then=never, otherwise=never, within=within(0))
    ours.add(leg, b"2", whole_messages=True, then=never, otherwise=lambda: ended.append(2), within=within(1))
    assert [timer.cancelled for timer in timers] == [True, False]
    assert leg in ours
    waits[1]()
    assert (ended, leg in ours, source.scanner.feed(FIRST[3:] + LAST)) == ([2], False, FIRST[3:] + LAST)


def test_one_that_does_not_wait_or_whose_source_has_gone_finds_no_place() -> None:
    source: Any = Source()
    leg, ours, ended = towards(source), Insertions(), []
    ours.add(leg, b"1", whole_messages=True, then=never, otherwise=lambda: ended.append(1), within=None)
    source.transport = None
    ours.add(leg, b"2", whole_messages=True, then=never, otherwise=lambda: ended.append(2), within=Mock())
    assert ended == [1, 2]
    leg.at_message_boundary = True
    ours.add(leg, b"3", whole_messages=True, then=lambda: ended.append(3), otherwise=never, within=None)
    assert (ended, leg.write.call_args.args) == ([1, 2, 3], (b"3",))
