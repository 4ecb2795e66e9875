"""Delivery: an STT server's messages on their way to the client, whole ones only, so that another server can go on.

Until a stream has had a second server nothing is changed: a chunk that ends where a message does goes straight to the
client, past this (`pass_by`). The last Metadata waits for the Close behind it, because a server that is restarted sends
one too. No I/O.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Protocol

from ws_proxy.websocket.frames import CLOSE, TEXT, frame
from ws_proxy.websocket.rewriter import Heard, seconds_of, shifted, without_repeated_words
from ws_proxy.websocket.scanner import MAX_REPORTS, RESULTS_BEGIN, FrameScanner
from ws_proxy.websocket.utterances import Utterances

# A message that is longer is passed on in pieces, and a server that is lost in the middle of it cannot be replaced.
MAX_HELD_BYTES: Final = 256 * 1024
# As many channels as are billed at most.
MAX_CHANNELS: Final = 64
_TRUE: Final = re.compile(rb"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}true")
_FINAL: Final = b'"is_final"'
_FINALIZED: Final = b'"from_finalize"'
_SUMMARY: Final = frozenset({"channel_index", "start", "duration"})
# How nearly every Results begins: channel, channels, duration and start are read without a JSON parser's help.
_NUMBER: Final = rb"((?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,18})?),"
_HEAD: Final = re.compile(
    rb'\{"type": ?"Results", ?"channel_index": ?\[([0-9]{1,2}), ?([0-9]{1,2})\], ?'
    rb'"duration": ?' + _NUMBER + rb' ?"start": ?' + _NUMBER
)
_METADATA: Final = b'"Metadata"'


class DeliveryOwner(Protocol):
    """Who is notified of finals: it is held itself, where a callback would be an object more for each stream."""

    def final(self, *, finalized: bool) -> None:
        """Called behind a Results that is final and may matter at once."""


class PassedBy(Protocol):
    """What is beside a delivery: it passes messages on itself as long as nothing is to be done about them."""

    def pass_to(self, write: Callable[[bytes], None]) -> None:
        """Pass on by `write` what the scanner lets pass from now on."""


class Delivery:
    """One stream's."""

    __slots__ = (
        "_channels",
        "_client",
        "_frames",
        "_heard",
        "_held",
        "_last",
        "_offset",
        "_on_message",
        "_opening",
        "_owner",
        "_pass_by",
        "_plain",
        "_replies",
        "_scanner",
        "_second",
        "_send",
        "_through",
        "_utterances",
        "messages",
        "reports",
    )

    def __init__(
        self,
        channels: int,
        owner: DeliveryOwner,
        utterances: Utterances | None = None,
        second: int = 0,
    ) -> None:
        """`channels`: how many of them get Results of their own. `utterances`: if the client gets their ends.

        `second`: how many bytes of audio are one.
        """
        self._channels = channels
        self._second = second
        self._owner: DeliveryOwner | None = owner
        self._on_message: Callable[[], None] | None = None
        self._scanner: FrameScanner | None = None
        self._client: FrameScanner | None = None
        self._send: Callable[[bytes], None] = _nowhere
        self._pass_by: PassedBy | None = None
        self._offset: Decimal | None = None  # of the times, once a second server has taken over
        self._heard = Heard()
        # Messages that carry a duration, and are not looked at yet: what they say is read when it matters. The scanner
        # appends to it, so it stays one and the same list.
        self.reports: list[bytes] = []
        self._replies = 0  # Results from a Finalize that came, of the channels
        # Nothing is held, and nothing is to be changed: what the scanner lets pass goes by. It turns false before the
        # first bytes pass of which that is not true, since the scanner reports them first.
        self._plain = True
        self._held = b""  # the part of a frame
        self._frames: list[tuple[bytes, bytes]] | None = None  # of an unfinished message: as they came, and payloads
        self._last = b""  # a Metadata that may be the last message
        self._opening = b""  # a Metadata of a server that took over: its first message, or all it has to say
        self._through = False  # a message is under way that is too long to be held
        # Where it is not None every message is looked at, so nothing goes by.
        self._utterances = utterances
        self.messages = 0  # passed on since a server took over

    def attach(
        self,
        scanner: FrameScanner,
        client: FrameScanner,
        send: Callable[[bytes], None],
        pass_by: PassedBy,
    ) -> None:
        """Deliver to `send` what `scanner` lets pass.

        `client`: follows what the client sends. `pass_by`: passes on what the scanner lets pass, by `send` itself or by
        `write`; that is `send` at first.
        """
        self._scanner = scanner
        self._client = client
        self._send = send
        self._pass_by = pass_by
        scanner.listener = self
        if self._utterances is not None:
            self.message_began()

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
        self._frames = None
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

    def flush(self, *, closed: bool) -> None:
        """What waited for the server's Close is passed on: it came (`closed`), or does not come soon."""
        waiting, self._last = self._last, b""
        if closed:
            waiting, self._opening = waiting or self._opening, b""
        if waiting:
            self._send(waiting)
        self._unhold()

    def look_for_silence(self, sent_seconds: float) -> None:
        """Send what is due while a server that took over says nothing; `sent_seconds`: of audio, in all."""
        if self._utterances is None or self._offset is None or not self.between_messages:
            return
        if due := self._utterances.due_in_silence(sent_seconds):
            self._send(b"".join(map(_framed, due)))

    def release(self) -> None:
        """The stream has ended."""
        self._scanner = self._client = None
        self._send = _nowhere
        self._pass_by = self._owner = None
        self._on_message = None
        self.reports.clear()

    # What was said.

    def reports_came(self) -> None:
        """The latest report may be a Metadata, or there are many of them. It has not been passed on yet."""
        latest = self.reports[-1]
        if len(self.reports) >= MAX_REPORTS:
            self.settle()
        # A search that finds nothing reads all of a message, so most do without one.
        if not latest.startswith(RESULTS_BEGIN) and _METADATA in latest and _type(_parsed(latest)) == "Metadata":
            self.message_began()

    def settle(self) -> None:
        """Look at what was said so far: its owner hears where a Finalize was replied to."""
        if not self.reports:
            return
        reports = self.reports[:]
        self.reports.clear()  # before the owner comes back here
        if self._channels == 1 and (self._client is None or not self._client.texts):
            # Without a text message of the client there was no Finalize: of several finals just the last one matters.
            for payload in reversed(reports):
                if _true(payload, _FINAL):
                    self._note(*_place(payload))
                    break
            if self._channels > 1:  # as it has just said
                for payload in reports:
                    if _true(payload, _FINAL):
                        self._note(*_place(payload))
            return
        first = 0
        for number, payload in enumerate(reports):
            if _true(payload, _FINALIZED) or (self._channels > 1 and _true(payload, _FINAL)):
                self._note(*_place(payload))
                self._replied(_true(payload, _FINALIZED))
                first = number + 1
        # Of several finals of the only channel just the last one matters.
        for number in range(len(reports) - 1, first - 1, -1):
            if _true(reports[number], _FINAL):
                self._note(*_place(reports[number]))
                if self._channels > 1:  # as it has just said
                    for payload in reports[first:number]:
                        if _true(payload, _FINAL):
                            self._note(*_place(payload))
                break

    def _note(self, channel: int | None, channels: int, end: float | None) -> None:
        """Remember up to where a channel's words are final; see `_place`."""
        self._channels = max(self._channels, channels)
        if end is not None and channel is not None:
            if self._client is not None and self._second:
                # A server that claims more than it was sent must not make audio final that is still to come.
                end = min(end, self._client.binary_bytes / self._second)
            self._heard.final(channel, end)

    def _replied(self, finalized: bool) -> None:
        self._replies += finalized
        whole = self._replies >= self._channels
        if whole:
            self._replies = 0
        if self._owner is not None and (whole or self._channels > 1 or self._offset is not None):
            self._owner.final(finalized=whole)

    # Whole messages.

    def message_began(self) -> None:
        """What the scanner lets pass next may not just be sent (see `attach`)."""
        if self._plain:
            self._plain = False
            if self._pass_by is not None:
                self._pass_by.pass_to(self.write)

    def write(self, data: bytes) -> None:
        """What the scanner lets pass, while that may not just be sent (see `attach`)."""
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
            self._frames = frames = self._frames or []
            frames.append((piece, data[start:end]))
            if first >= 0x80:
                raw, payload = (b"".join(pieces) for pieces in zip(*frames, strict=True))
                out.append(self._message(raw[0] & 0x0F, payload, raw))
                self._frames = None
        self._held = data[pos:]
        kept = [raw for raw, _ in self._frames or ()]
        if len(self._held) + sum(map(len, kept)) > MAX_HELD_BYTES:
            out += [*kept, self._held]
            self._frames, self._held = None, b""
            self._through = True
        if passed := b"".join(out):
            self._send(passed)
        self._unhold()

    def _unhold(self) -> None:
        held = self._last or self._held or self._frames or self._through or self._utterances
        if self._offset is None and not (self._plain or held):
            self._plain = True
            if self._pass_by is not None:
                self._pass_by.pass_to(self._send)

    def _message(self, opcode: int, payload: bytes, raw: bytes) -> bytes:
        """What is to be passed on now that this message has come; `raw`: its frames."""
        before, self._last = self._last, b""
        if opcode != TEXT:
            return before + raw
        if self._offset is None:
            message = _parsed(payload) if _METADATA in payload or self._utterances is not None else {}
            if self._utterances is not None:
                self._utterances.passed(message)
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
        if self._utterances is not None:
            raw = b"".join(map(_framed, self._utterances.due_before(message))) + raw
            self._utterances.passed(message)
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
                self._note(*_channel(message), _end(message))
                self._replied(message.get("from_finalize") is True)
        return raw


def _framed(message: dict[str, Any]) -> bytes:
    return frame(TEXT, json.dumps(message).encode(), masked=False)


def _true(payload: bytes, name: bytes) -> bool:
    """Whether a member of this name is true. Inside of a string a quote would have a backslash before it."""
    at = payload.find(name)
    if at < 0:
        return False
    end = at + len(name)
    said = payload[end : end + 6]
    if said in (b": fals", b":false"):
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
        # Bytes would be searched for their encoding; a message of text is UTF-8.
        message = json.loads(payload if isinstance(payload, str) else payload.decode())
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _end(message: dict[str, Any]) -> float | None:
    """Up to where a Results is, in seconds; None if it does not say so."""
    start, duration = seconds_of(message.get("start")), seconds_of(message.get("duration"))
    return None if start is None or duration is None else start + duration


def _place(payload: bytes) -> tuple[int | None, int, float | None]:
    """What a Results is of: its channel, of how many, and up to where, in seconds; see `_channel` and `_end`."""
    if (head := _HEAD.match(payload)) is not None:
        channel, channels, duration, start = head.groups()
        if (of := int(channel)) < (count := int(channels)) <= MAX_CHANNELS:
            return of, count, float(start) + float(duration)
    message = _summary(payload)
    return *_channel(message), _end(message)


def _summary(payload: bytes) -> dict[str, Any]:
    """The members of a Results that say when it was, at least.

    Nearly every server writes them before the first member that is an object, in which all words are: then no more than
    that much is parsed.
    """
    head = payload[: payload.find(b"{", 1)]
    found = _parsed(head[: head.rfind(b",")] + b"}")
    # Cut in the middle of a text it is no JSON.
    return found if found.keys() >= _SUMMARY else _parsed(payload)


def _type(message: dict[str, Any]) -> str:
    kind = message.get("type")
    return kind if isinstance(kind, str) else ""


def _nowhere(_data: bytes) -> None:
    pass
