"""Continuation: what a relay keeps so that its stream can go on with another STT server. Performs no I/O."""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final, Protocol

from ws_proxy.websocket.delivery import Delivery
from ws_proxy.websocket.rewriter import seconds
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.utterances import Utterances
from ws_proxy.websocket.window import SLACK_BYTES, Budget, ReplayWindow

# Close codes by which a server says that it is at fault, or goes: another one may take the stream (RFC 6455 section
# 7.4.1, and the registry that it set up). Every other code speaks of the request.
_SERVERS_FAULT: Final = frozenset({1001, 1011, 1012, 1013})
# What such a close's reason begins with where it is about the client all the same (docs/api.md).
_CLIENTS_FAULT: Final = ("NET-0001", "DATA-")
# So many streams at least share what a process keeps, whatever rate and channels one of them declares.
LEAST_STREAMS: Final = 16
# What recorded files begin with. Where one is sent as raw samples, no place in it can be computed from a time.
_FILES: Final = (b"RIFF", b"RF64", b"BW64", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3", b"FORM", b".snd", b"caff")


@dataclass(frozen=True, slots=True)
class AudioShape:
    """How raw audio's bytes become times, and what is said of them.

    `frame_bytes`: of one sample of all channels. `rate`: of those, a second.
    """

    frame_bytes: int
    rate: int
    channels: int  # that get Results of their own
    utterance_end_ms: int = 0  # the silence that ends an utterance, if the client gets an UtteranceEnd


def is_servers_fault(code: int, reason: str) -> bool:
    """Whether a server that closes a stream in this way may be replaced by another one."""
    return code in _SERVERS_FAULT and not reason.startswith(_CLIENTS_FAULT)


@lru_cache(maxsize=64)
def _limit(shape: AudioShape, replay_seconds: float, budget: int) -> int:
    """How many bytes a window may hold."""
    limit = math.ceil(replay_seconds * shape.rate * shape.frame_bytes) + SLACK_BYTES
    # Small chunks cost more than their bytes: a quarter of it for audio in pieces of 20 ms.
    return min(limit + limit // 4, budget // LEAST_STREAMS)


class WindowFull(Protocol):
    """Who reads no more from a client (`ReplayWindow` has why this is no callback)."""

    def window_full(self) -> None:
        """There is no server, and the window is full."""


class Continuation:
    """One stream's window and delivery. Places in the audio are counted in bytes from the stream's beginning."""

    __slots__ = ("_client", "_on_full", "_shape", "delivery", "window")

    def __init__(self, shape: AudioShape, replay_seconds: float, budget: Budget) -> None:
        self._shape = shape
        self.window = ReplayWindow(_limit(shape, replay_seconds, budget.limit), budget, self)
        wait = shape.utterance_end_ms / 1000
        utterances = Utterances(wait) if wait else None
        self.delivery = Delivery(shape.channels, self, utterances, shape.rate * shape.frame_bytes)
        self._client: FrameScanner | None = None
        self._on_full: WindowFull | None = None

    def attach(self, client: FrameScanner, on_full: WindowFull) -> None:
        """`client`: of what the client sends."""
        self._client = client
        self._on_full = on_full

    def tick(self, *, waiting: bool) -> None:
        """Called every second or so. `waiting`: no server is there."""
        self.delivery.flush(closed=False)  # a Metadata that was not the last message
        self.window.tick()
        if not waiting:
            self.delivery.look_for_silence(self._sent() / (self._shape.frame_bytes * self._shape.rate))

    def _sent(self) -> int:
        return self._client.binary_bytes if self._client is not None else 0

    def look(self) -> None:
        """The window has grown."""
        self.delivery.settle()
        client = self._client
        if client is None or not client.whole:
            self._trim()
        elif not self.window.drop_whole(final := self._final_bytes(), client.binary_bytes, client.others):
            self.window.trim(final)
        if self.window.frozen and self.window.full and self._on_full is not None:
            self._on_full.window_full()

    def final(self, *, finalized: bool) -> None:
        """A final result came that may matter at once; `finalized`: with it, a Finalize was replied to."""
        self._trim(finalized=finalized)
        self.window.settle()

    def _settled(self) -> int:
        self.delivery.settle()
        return self._trim()

    def _trim(self, *, finalized: bool = False) -> int:
        return self.window.trim(self._final_bytes(), finalized=finalized)

    def _final_bytes(self) -> int:
        shape = self._shape
        frames = min(round(self.delivery.final_seconds * shape.rate), self._sent() // shape.frame_bytes)
        return frames * shape.frame_bytes

    @property
    def possible(self) -> bool:
        """Whether another server could go on from the last final words."""
        window = self.window
        self._settled()
        return (
            not window.torn
            and not window.began_with.startswith(_FILES)
            and window.complete
            and self.delivery.between_messages
        )

    def next_server(self) -> tuple[Decimal, int]:
        """Where another server's audio begins, in seconds, and how many bytes of audio it is sent again."""
        begin = self._settled()
        return seconds(begin // self._shape.frame_bytes, self._shape.rate), self._sent() - begin

    def release(self) -> None:
        """The stream has ended."""
        self.window.release()
        self.delivery.release()
        self._client = self._on_full = None
