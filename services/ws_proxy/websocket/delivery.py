"""Delivery: an STT server's messages on their way to the client, whole ones only, so that another server can go on.

Until a stream has had a second server nothing is changed: a chunk that ends where a message does is passed on as it
came. The last Metadata waits for the Close behind it, because a server that is restarted sends one too. No I/O.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from ws_proxy.websocket.frames import CLOSE, TEXT, frame
from ws_proxy.websocket.rewriter import Heard, seconds_of, shifted, without_repeated_words
from ws_proxy.websocket.scanner import FrameScanner

# A message that is longer is passed on in pieces, and a server that is lost in the middle of it cannot be replaced.
MAX_HELD_BYTES: Final = 256 * 1024
# As many channels as are billed at most.
MAX_CHANNELS: Final = 64
# So many messages of a server may wait until they are looked at.
MAX_REPORTS: Final = 32
_TRUE: Final = re.compile(rb"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}true")
_FINAL: Final = b'"is_final"'
_FINALIZED: Final = b'"from_finalize"'
_METADATA: Final = b'"Metadata"'


class Delivery:
    """One stream's. `on_final(finalized)` is called behind a Results that is final and may matter at once."""

    __slots__ = (
        "_channels",
        "_frames",
        "_heard",
        "_held",
        "_last",
        "_offset",
        "_on_final",
        "_on_message",
        "_opening",
        "_payloads",
        "_plain",
        "_replies",
        "_reports",
        "_scanner",
        "_send",
        "_through",
        "messages",
    )

    def __init__(self, channels: int, on_final: Callable[[bool], None]) -> None:
        """`channels`: how many of them get Results of their own."""
        self._channels = channels
        self._on_final = on_final
        self._on_message: Callable[[], None] | None = None
        self._scanner: FrameScanner | None = None
        self._send: Callable[[bytes], None] = _nowhere
        self._offset: Decimal | None = None  # of the times, once a second server has taken over
        self._heard = Heard()
        self._reports: list[bytes] = []  # not looked at yet
        self._replies = 0  # Results from a Finalize that came, of the channels
        self._plain = True  # nothing is held, and nothing is to be changed
        self._held = b""  # the part of a frame
        self._frames: list[bytes] = []  # of an unfinished message, as they came
        self._payloads: list[bytes] = []
        self._last = b""  # a Metadata that may be the last message
        self._opening = b""  # a Metadata of a server that took over: its first message, or all it has to say
        self._through = False  # a message is under way that is too long to be held
        self.messages = 0  # passed on since a server took over

    def attach(self, scanner: FrameScanner, send: Callable[[bytes], None]) -> None:
        """Deliver to `send` what `scanner` lets pass."""
        self._scanner = scanner
        self._send = send
        scanner.on_report = self._report

    def continue_at(self, offset: Decimal, scanner: FrameScanner, on_message: Callable[[], None]) -> None:
        """Another server's messages follow, whose times begin at `offset`. What the former left unfinished is lost.

        `on_message`: called with the first one that is passed on.
        """
        self.settle()
        self._offset = offset
        self._on_message = on_message
        self._scanner = scanner
        scanner.keep_reports = False  # see _continued
        self._held = self._last = self._opening = b""
        self._frames, self._payloads = [], []
        self._plain = self._through = False
        self._replies = self.messages = 0

    @property
    def between_messages(self) -> bool:
        """Whether the client has only had whole messages."""
        return not self._through

    @property
    def final_seconds(self) -> float:
        """Up to where the words of every channel are final, in seconds of the whole stream; see `settle`."""
        return self._heard.common(self._channels)

    def write(self, data: bytes) -> None:
        """What the scanner lets pass. This is called for every chunk of every stream."""
        scanner = self._scanner
        if self._plain and scanner is not None and scanner.whole:
            self._send(data)
        else:
            self._hold(data)

    def flush(self, *, closed: bool) -> None:
        """What waited for the server's Close is passed on: it came (`closed`), or does not come soon."""
        waiting, self._last = self._last, b""
        if closed:
            waiting, self._opening = waiting or self._opening, b""
        if waiting:
            self._send(waiting)
        self._unhold()

    def release(self) -> None:
        """The stream has ended."""
        self._scanner = None
        self._send = _nowhere
        self._on_final = _never
        self._on_message = None
        self._reports = []

    # What was said.

    def _report(self, payload: bytes) -> None:
        """A message that carries a duration, before it is passed on. What it says is looked at when that matters."""
        self._reports.append(payload)
        if len(self._reports) >= MAX_REPORTS or _METADATA in payload:
            self.settle()
            if _METADATA in payload and _type(_parsed(payload)) == "Metadata":
                self._plain = False

    def settle(self) -> None:
        """Look at what was said so far: `on_final` is called where a Finalize was replied to."""
        reports, self._reports = self._reports, []
        first = 0
        for number, payload in enumerate(reports):
            if _true(payload, _FINALIZED) or (self._channels > 1 and _true(payload, _FINAL)):
                self._note(_parsed(payload))
                self._replied(_true(payload, _FINALIZED))
                first = number + 1
        # Of several finals of the only channel just the last one matters.
        for number in range(len(reports) - 1, first - 1, -1):
            if _true(reports[number], _FINAL):
                self._note(_parsed(reports[number]))
                if self._channels > 1:  # as it has just said
                    for payload in reports[first:number]:
                        if _true(payload, _FINAL):
                            self._note(_parsed(payload))
                break

    def _note(self, message: dict[str, Any]) -> None:
        channel, channels = _channel(message)
        self._channels = max(self._channels, channels)
        start, duration = seconds_of(message.get("start")), seconds_of(message.get("duration"))
        if start is not None and duration is not None and channel is not None:
            self._heard.final(channel, start + duration)

    def _replied(self, finalized: bool) -> None:
        self._replies += finalized
        if self._replies >= self._channels:
            self._replies = 0
            self._on_final(True)
        elif self._channels > 1 or self._offset is not None:
            self._on_final(False)

    # Whole messages.

    def _hold(self, data: bytes) -> None:
        self._plain = False
        if self._through:
            self._send(data)
            self._through = self._scanner is not None and not self._scanner.between_messages
            self._unhold()
            return
        data = self._held + data
        pos, size = 0, len(data)
        out: list[bytes] = []
        while size - pos >= 2:
            first, length, start = data[pos], data[pos + 1], pos + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > size:
                    break
                length = int.from_bytes(data[pos + 2 : start], "big")
            end = start + length
            if end > size:
                break
            piece, pos = data[pos:end], end
            if first & 0x0F >= CLOSE:
                out.append(piece)
                continue
            self._frames.append(piece)
            self._payloads.append(data[start:end])
            if first >= 0x80:
                out.append(self._message(self._frames[0][0] & 0x0F, b"".join(self._payloads), b"".join(self._frames)))
                self._frames, self._payloads = [], []
        self._held = data[pos:]
        if len(self._held) + sum(map(len, self._frames)) > MAX_HELD_BYTES:
            out += [*self._frames, self._held]
            self._frames, self._payloads, self._held = [], [], b""
            self._through = True
        if passed := b"".join(out):
            self._send(passed)
        self._unhold()

    def _unhold(self) -> None:
        if self._offset is None and not (self._last or self._held or self._frames or self._through):
            self._plain = True

    def _message(self, opcode: int, payload: bytes, raw: bytes) -> bytes:
        """What is to be passed on now that this message has come; `raw`: its frames."""
        before, self._last = self._last, b""
        if opcode != TEXT:
            return before + raw
        if self._offset is None:
            message = _parsed(payload) if _METADATA in payload else {}
            if _type(message) == "Metadata" and message.get("duration"):
                self._last = raw
                return before
            return before + raw
        passed = self._continued(payload, self._offset)
        if passed and self._on_message is not None:
            self._on_message()
            self._on_message = None
        return before + passed

    def _continued(self, payload: bytes, offset: Decimal) -> bytes:
        first = not self.messages
        self.messages += 1
        text = shifted(payload.decode(errors="replace"), offset)
        message = _parsed(text)
        kind = _type(message)
        if kind == "Results":
            channel, _ = _channel(message)
            until = self._heard.end(channel) if channel is not None else 0.0
            if self._channels > 1 and until > float(offset):
                left = without_repeated_words(message, until)
                if left is None and message.get("from_finalize") is not True:
                    return b""
                if left is not None and left is not message:
                    message, text = left, json.dumps(left)
        raw = frame(TEXT, text.encode(), masked=False)
        if "duration" in message and kind in ("Results", "Metadata") and self._scanner is not None:
            opening = kind == "Metadata" and first and not _parsed(payload).get("duration")
            if not opening:
                self._scanner.report = text.encode()
            if kind == "Metadata":
                if opening:
                    self._opening = raw
                else:
                    self._last = raw
                    self._opening = b""
                return b""
            if message.get("is_final") is True:
                self._note(message)
                self._replied(message.get("from_finalize") is True)
        return raw


def _true(payload: bytes, name: bytes) -> bool:
    """Whether a member of this name is true. Inside of a string a quote would have a backslash before it."""
    at = payload.find(name)
    if at < 0:
        return False
    end = at + len(name)
    said = payload[end : end + 6]
    if said == b": fals":
        return False
    return said == b": true" or said[:5] == b":true" or _TRUE.match(payload, end) is not None


def _channel(message: dict[str, Any]) -> tuple[int | None, int]:
    """Which channel a Results is of, and of how many; no channel if it names one that cannot be."""
    index = message.get("channel_index", [0, 1])
    if isinstance(index, list) and len(index) == 2 and all(type(one) is int for one in index):
        channel, channels = index
        if 0 <= channel < channels <= MAX_CHANNELS:
            return channel, channels
    return None, 1


def _parsed(payload: bytes | str) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _type(message: dict[str, Any]) -> str:
    kind = message.get("type")
    return kind if isinstance(kind, str) else ""


def _nowhere(_data: bytes) -> None:
    pass


def _never(_finalized: bool) -> None:
    pass
