"""Bytes of ours in a stream of a peer's frames: where they go, and what does not follow them."""

from typing import Any

import pytest

from ws_proxy.websocket.frames import TEXT, frame
from ws_proxy.websocket.insertion import Insertion
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
