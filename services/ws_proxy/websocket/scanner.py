"""FrameScanner: follows one direction of a WebSocket byte stream and says which bytes may be passed on. No I/O.

Payloads of data frames are neither copied nor unmasked; only headers are read. What comes out of `feed` ends at a
frame's last validated byte, so the other peer never sees a half header or a frame that breaks the rules. Control
frames are held until they are complete and go to `on_control`, which decides whether they are passed on. A Close is the
last frame of a stream: what follows it is neither passed on nor looked at (RFC 6455 section 5.5.1).
"""

from collections.abc import Callable
from typing import Final, Protocol

from ws_proxy.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_CONTROL_PAYLOAD,
    PONG,
    TEXT,
    CloseCode,
    ProtocolViolation,
    mask_bytes,
)

# Longest report kept for metering; a longer message still passes, but is not read.
MAX_REPORT_BYTES: Final = 256 * 1024
# What marks a message of the STT server that carries billed time (Results and Metadata; nothing else has it).
REPORT_MARK: Final = b'"duration"'
# How a report begins that says at once that it is a Results.
RESULTS_BEGIN: Final = (b'{"type":"Results"', b'{"type": "Results"')
# So many reports may wait until a listener is called.
MAX_REPORTS: Final = 32
# First bytes of messages of one frame (section 5.2: FIN and the opcode).
_WHOLE_TEXT: Final = 0x80 | TEXT
_WHOLE_BINARY: Final = 0x80 | BINARY
# More bytes than any stream has: what follows a Close counts as the rest of a frame that never ends.
_ENDLESS: Final = 1 << 62


class Listener(Protocol):
    """Who follows the messages of a scanner; it is called as seldom as it can be, since every message would pay for it.

    `reports`: gets every report, to be emptied by the listener.
    """

    reports: list[bytes]

    def reports_came(self) -> None:
        """The latest report does not begin as a Results, or it is the last of MAX_REPORTS."""

    def message_began(self) -> None:
        """What `feed` is about to return ends inside a message."""


class FrameScanner:
    """One direction of one connection.

    `masked`: whether the peer must mask (a client must, a server must not: RFC 6455 section 5.1).
    `max_message_bytes`: cap on a message's payload, over all its fragments.
    `on_control(opcode, payload)`: called for every control frame, payload unmasked; True passes the frame on.
    `keep_reports`: keep the last text message that carries a duration in `report`.
    """

    __slots__ = (
        "_binary_at_stop",
        "_binary_declared",
        "_final",
        "_fragmented",
        "_held",
        "_left",
        "_mask_bit",
        "_masked",
        "_max_message",
        "_message_bytes",
        "_on_control",
        "_opcode",
        "_part_bytes",
        "_parts",
        "_scans",
        "_short_head",
        "_stopped_between",
        "keep_reports",
        "listener",
        "messages",
        "offset",
        "on_boundary",
        "on_report",
        "report",
        "report_mark",
        "stopped",
        "texts",
    )

    def __init__(
        self,
        *,
        masked: bool,
        max_message_bytes: int,
        on_control: Callable[[int, bytes], bool],
        keep_reports: bool = False,
    ) -> None:
        self._masked = masked
        self._mask_bit = 0x80 if masked else 0
        self._short_head = 6 if masked else 2  # bytes of a header with a one-byte length
        self._max_message = max_message_bytes
        self._on_control = on_control
        # Called at the end of each data frame, with whether a message ends there too; what it returns goes out there.
        self.on_boundary: Callable[[bool], bytes] | None = None
        self.keep_reports = keep_reports
        self.report_mark = REPORT_MARK
        self.report: bytes | None = None
        self.on_report: Callable[[bytes], None] | None = None  # called with each of them
        self.listener: Listener | None = None
        self.stopped = False  # see `stop`
        self.messages = 0
        self.texts = 0  # messages of text that have begun
        self._binary_declared = 0  # payload bytes of all binary frames whose headers were read
        self._binary_at_stop = 0  # `binary_bytes` at `stop`
        self.offset = 0  # bytes of the stream seen so far
        self._scans = 0  # chunks that were not one message in one frame
        self._left = 0  # payload bytes of the current data frame still to come
        self._final = True  # that frame ends its message
        self._opcode = 0  # of the message under way
        self._fragmented = False  # a fragment without FIN was seen: a continuation must follow
        self._message_bytes = 0  # of the message under way
        self._held = b""  # an incomplete header, or an incomplete control frame
        self._parts: list[bytes] | None = None  # pieces of a report that did not come in one frame and chunk
        self._part_bytes = 0
        self._stopped_between = (True, True)  # where the outgoing stream was at `stop`: frames, messages

    @property
    def between_frames(self) -> bool:
        """Whether a control frame may be put into the outgoing stream now (RFC 6455 section 5.4)."""
        return self._stopped_between[0] if self.stopped else self._left == 0

    @property
    def between_messages(self) -> bool:
        """Whether a data frame may be put into the outgoing stream now."""
        return self._stopped_between[1] if self.stopped else self._left == 0 and not self._fragmented

    @property
    def binary_bytes(self) -> int:
        """Payload bytes of binary messages that came and were passed on.

        Not what a header announces and never comes, nor what comes after `stop`.
        """
        if self.stopped:
            return self._binary_at_stop
        return self._binary_declared - self._left if self._opcode == BINARY else self._binary_declared

    @property
    def whole(self) -> bool:
        """Whether what came so far ends where a message does."""
        return not (self._left or self._fragmented)

    @property
    def others(self) -> int:
        """How many chunks were not one message of audio in one frame; right where `whole` is."""
        return self._scans + self.texts

    def stop(self) -> None:
        """From here on no data is passed on; it is still followed, and control frames still reach `on_control`."""
        if not self.stopped:
            self._binary_at_stop = self.binary_bytes
            self._stopped_between = (self.between_frames, self.between_messages)
            self.stopped = True

    def release(self) -> None:
        """Let go of the owner's callbacks: nothing is fed any more, only the counters are read."""
        self._on_control = _not_passed
        self.on_boundary = self.on_report = self.listener = None

    def feed(self, data: bytes) -> bytes:
        """Scan the next bytes of the stream; returns those that may be passed on (possibly none).

        Raises ProtocolViolation as soon as a byte breaks the rules; its `passed` holds what of this chunk came
        before the offending frame. The scanner must not be fed again after that.
        """
        left = self._left
        size = len(data)
        if left > size:  # inside a long frame: there is nothing to read here
            self._left = left - size
            self.offset += size
            if self._parts is not None:
                self._keep_part(data)
            return b"" if self.stopped else data

        self.offset += size
        if not (left or self._held or self._fragmented or self.stopped) and self.on_boundary is None and size > 8:
            # Nearly every chunk is one message in one frame: a client's audio, a server's report.
            first = data[0]
            length = data[1] - self._mask_bit
            start = self._short_head
            if length == 126:
                start += 2
                length = data[2] << 8 | data[3]
            elif length > 126:
                length = -1  # a 64-bit length, or a mask where none may be
            if 0 <= length == size - start and length <= self._max_message:
                if first == _WHOLE_BINARY:
                    self.messages += 1
                    self._binary_declared += length
                    return data
                if first == _WHOLE_TEXT:
                    self.messages += 1
                    self.texts += 1
                    if self.keep_reports and data.find(self.report_mark, start) > 0:
                        self.report = report = data[start:]
                        if self.on_report is not None:
                            self.on_report(report)
                        if self.listener is not None:
                            reports = self.listener.reports
                            reports.append(report)
                            if len(reports) >= MAX_REPORTS or not report.startswith(RESULTS_BEGIN):
                                self.listener.reports_came()
                    return data
        return self._scan(data)

    def _scan(self, data: bytes) -> bytes:
        """The rest of `feed`: a chunk of any shape, frame by frame."""
        self._scans += 1
        if self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        masked = self._masked
        out: list[bytes] = []  # once something was cut out or put in: the pieces before `begin`
        pos = begin = 0  # `begin`: where the bytes begin that are to be passed on and not yet in `out`
        try:
            if self._left:
                pos, self._left = self._left, 0
                begin = pos if self.stopped else 0
                if inserted := self._end_frame(None if self._parts is None else data[:pos]):
                    out += data[begin:pos], inserted
                    begin = pos
            while pos < size:
                first = data[pos]
                opcode = first & 0x0F
                if opcode > BINARY or first & 0x70 or self._fragmented is not (opcode == CONTINUATION):
                    self._check_first_byte(first)
                if size - pos < 2:
                    break
                length = data[pos + 1]
                if (length >= 0x80) is not masked:
                    what = "a client's frames must be masked" if masked else "a server's frames must not be masked"
                    raise _violation(what)
                length &= 0x7F
                start = pos + self._short_head
                if opcode >= CLOSE:
                    if length > MAX_CONTROL_PAYLOAD:
                        raise _violation("a control frame carries at most 125 bytes")
                    end = start + length
                    if end > size:
                        break
                    if not self._control(opcode, data[start:end], data[start - 4 : start]):
                        out.append(data[begin:pos])
                        begin = end
                    if opcode == CLOSE:
                        size = end  # the stream's end, whatever else the chunk holds
                    pos = end
                    continue
                if length >= 126:
                    start += 2 if length == 126 else 8
                    if start > size:
                        break
                    length = int.from_bytes(data[pos + 2 : start - 4 if masked else start], "big")
                elif start > size:
                    break
                report = self._begin_frame(first, length)
                end = start + length
                if self.stopped:
                    out.append(data[begin:pos])
                    begin = min(end, size)
                if end > size:
                    self._left = end - size
                    if report:
                        self._keep_part(data[start:])
                    pos = size
                    break
                pos = end
                if not report and self.on_boundary is None:  # as _end_frame does, but without a call for each frame
                    self.messages += self._final
                    continue
                if inserted := self._end_frame(data[start:end] if report else None):
                    out += data[begin:end], inserted
                    begin = end
        except ProtocolViolation as violation:
            violation.offset = self.offset - (size - pos)
            violation.passed = b"".join(out) + data[begin:pos]
            self._note_partial()
            raise
        if pos < size:
            self._held = data[pos:]
        self._note_partial()
        return b"".join((*out, data[begin:pos])) if out else data[begin:pos]

    def _note_partial(self) -> None:
        if self.listener is not None and not self.whole:
            self.listener.message_began()

    def _check_first_byte(self, first: int) -> None:
        """Raise ProtocolViolation for what the first byte of a frame alone can break (section 5.2)."""
        opcode = first & 0x0F
        if first & 0x70:
            raise _violation("reserved bits are set but no extension was negotiated")
        if opcode > BINARY:
            if not CLOSE <= opcode <= PONG:
                raise _violation(f"opcode {opcode:#x} is not defined")
            if first < 0x80:
                raise _violation("a control frame may not be fragmented")
        elif self._fragmented is not (opcode == CONTINUATION):
            raise _violation("a message began inside a fragmented one" if opcode else "a continuation of no message")

    def _control(self, opcode: int, payload: bytes, mask: bytes) -> bool:
        """A control frame has come whole; returns whether it is passed on."""
        if self._masked and payload:
            payload = mask_bytes(payload, mask)
        passes = self._on_control(opcode, payload)
        if opcode == CLOSE:
            self.stop()
            self._left = _ENDLESS
            self._parts = None
        return passes

    def _begin_frame(self, first: int, length: int) -> bool:
        """A data frame's header has come; returns whether its payload may belong to a report."""
        total = length + self._message_bytes
        if total > self._max_message:
            what = f"message of {total} bytes or more, at most {self._max_message} are allowed"
            raise _violation(what, CloseCode.TOO_BIG)
        if opcode := first & 0x0F:
            self._opcode = opcode
            self._parts = None
            self.texts += opcode == TEXT
        self._final = final = first >= 0x80
        self._fragmented = not final
        self._message_bytes = 0 if final else total
        if self._opcode == BINARY:
            self._binary_declared += length
            return False
        return self.keep_reports

    def _end_frame(self, piece: bytes | None) -> bytes:
        """A data frame has ended, perhaps its message too; returns what is to be put in behind it.

        `piece`: what this chunk holds of it, if it may belong to a report.
        """
        final = self._final
        self.messages += final
        if piece is not None:
            if self._parts is not None or not final:
                self._keep_part(piece)
            if final:
                report = piece if self._parts is None else b"".join(self._parts)
                self._parts = None
                if self.report_mark in report:
                    self.report = report
                    if self.on_report is not None:
                        self.on_report(report)
                    if self.listener is not None:
                        self.listener.reports.append(report)
                        self.listener.reports_came()
        return b"" if self.on_boundary is None else self.on_boundary(final)

    def _keep_part(self, piece: bytes) -> None:
        if self._parts is None:
            self._parts = []
            self._part_bytes = 0
        self._part_bytes += len(piece)
        if self._part_bytes <= MAX_REPORT_BYTES:
            self._parts.append(piece)
        else:
            self._parts = [b""]  # too long to be a report; collect nothing more of it


def _violation(what: str, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> ProtocolViolation:
    return ProtocolViolation(code, what)


def _not_passed(_opcode: int, _payload: bytes) -> bool:
    return False
