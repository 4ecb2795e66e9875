"""FrameScanner: follows one direction of a WebSocket byte stream and says which bytes may be passed on. No I/O.

Payloads of data frames are neither copied nor unmasked; only headers are read. What comes out of `feed` ends at a
frame's last validated byte, so the other peer never sees a half header or a frame that breaks the rules. Control
frames are held until they are complete and go to `on_control`, which decides whether they are passed on. A Close is the
last frame of a stream: what follows it is neither passed on nor looked at (RFC 6455 section 5.5.1).
"""

from collections.abc import Callable
from typing import Final

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
_REPORT_MARK: Final = b'"duration"'
# First bytes of messages of one frame (section 5.2: FIN and the opcode).
_WHOLE_TEXT: Final = 0x80 | TEXT
_WHOLE_BINARY: Final = 0x80 | BINARY
# More bytes than any stream has: what follows a Close counts as the rest of a frame that never ends.
_ENDLESS: Final = 1 << 62


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
        "_short_head",
        "_stopped_between",
        "keep_reports",
        "messages",
        "offset",
        "on_boundary",
        "on_report",
        "report",
        "stopped",
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
        self.report: bytes | None = None
        self.on_report: Callable[[bytes], None] | None = None  # called with each of them
        self.stopped = False  # see `stop`
        self.messages = 0
        self._binary_declared = 0  # payload bytes of all binary frames whose headers were read
        self._binary_at_stop = 0  # `binary_bytes` at `stop`
        self.offset = 0  # bytes of the stream seen so far
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

    def stop(self) -> None:
        """From here on no data is passed on; it is still followed, and control frames still reach `on_control`."""
        if not self.stopped:
            self._binary_at_stop = self.binary_bytes
            self._stopped_between = (self.between_frames, self.between_messages)
            self.stopped = True

    def release(self) -> None:
        """Let go of the owner's callbacks: nothing is fed any more, only the counters are read."""
        self._on_control = _not_passed
        self.on_boundary = self.on_report = None

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
        held = self._held
        if not (left or held or self._fragmented or self.stopped) and self.on_boundary is None and size > 8:
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
                    if self.keep_reports and data.find(_REPORT_MARK, start) > 0:
                        self.report = data[start:]
                        if self.on_report is not None:
                            self.on_report(self.report)
                    return data
        if held:
            data = held + data
            size = len(data)
            self._held = b""
        masked = self._masked
        out: list[bytes] | None = None  # once something was cut out or put in: the pieces before `begin`
        begin = 0  # where the bytes begin that are to be passed on and not yet in `out`
        pos = left
        try:
            if left:
                self._left = 0
                if self.stopped:
                    begin = left
                if self._parts is not None:
                    self._keep_part(data[:left])
                inserted = self._end_frame(None)
                if inserted:
                    out = [data[begin:left], inserted]
                    begin = left
            while pos < size:
                first = data[pos]
                opcode = first & 0x0F
                # What the first byte alone can break (section 5.2).
                if first & 0x70:
                    raise _violation("reserved bits are set but no extension was negotiated")
                if opcode > BINARY:
                    if not CLOSE <= opcode <= PONG:
                        raise _violation(f"opcode {opcode:#x} is not defined")
                    if first < 0x80:
                        raise _violation("a control frame may not be fragmented")
                elif self._fragmented is not (opcode == CONTINUATION):
                    what = "a message began inside a fragmented one" if opcode else "a continuation of no message"
                    raise _violation(what)
                if size - pos < 2:
                    break
                length = data[pos + 1]
                if (length >= 0x80) is not masked:
                    what = "a client's frames must be masked" if masked else "a server's frames must not be masked"
                    raise _violation(what)
                length &= 0x7F
                start = pos + 6 if masked else pos + 2

                if opcode >= CLOSE:
                    if length > MAX_CONTROL_PAYLOAD:
                        raise _violation("a control frame carries at most 125 bytes")
                    end = start + length
                    if end > size:
                        break
                    payload = data[start:end]
                    if masked and payload:
                        payload = mask_bytes(payload, data[start - 4 : start])
                    passes = self._on_control(opcode, payload)
                    if opcode == CLOSE:  # the stream's end, whatever else the chunk holds
                        size = end
                        self.stop()
                        self._left = _ENDLESS
                        self._parts = None
                    if not passes:
                        if out is None:
                            out = []
                        out.append(data[begin:pos])
                        begin = end
                    pos = end
                    continue

                if length >= 126:
                    start += 2 if length == 126 else 8
                    if start > size:
                        break
                    length = int.from_bytes(data[pos + 2 : start - 4 if masked else start], "big")
                elif start > size:
                    break
                total = length + self._message_bytes
                if total > self._max_message:
                    what = f"message of {total} bytes or more, at most {self._max_message} are allowed"
                    raise _violation(what, CloseCode.TOO_BIG)
                final = first >= 0x80
                if opcode:
                    self._opcode = opcode
                    self._parts = None
                else:
                    opcode = self._opcode
                if opcode == BINARY:
                    self._binary_declared += length
                end = start + length
                self._fragmented = not final
                self._message_bytes = 0 if final else total
                keep = self.keep_reports and opcode == TEXT
                if end > size:
                    self._left = end - size
                    self._final = final
                    if keep:
                        self._keep_part(data[start:])
                    if self.stopped:
                        if out is None:
                            out = []
                        out.append(data[begin:pos])
                        begin = size
                    pos = size
                    break
                if self.stopped:
                    if out is None:
                        out = []
                    out.append(data[begin:pos])
                    begin = end
                if keep and (not final or self._parts is not None):
                    self._keep_part(data[start:end])
                self._final = final
                inserted = self._end_frame(data[start:end] if keep and final and self._parts is None else None)
                if inserted:
                    if out is None:
                        out = []
                    out.append(data[begin:end])
                    out.append(inserted)
                    begin = end
                pos = end
        except ProtocolViolation as violation:
            violation.offset = self.offset - (size - pos)
            violation.passed = data[begin:pos] if out is None else b"".join(out) + data[begin:pos]
            raise
        if pos < size:
            self._held = data[pos:]
        if out is None:
            return data[begin:pos]
        out.append(data[begin:pos])
        return b"".join(out)

    def _end_frame(self, payload: bytes | None) -> bytes:
        """A data frame has ended, perhaps its message too; returns what is to be put in behind it.

        `payload`: of a message that may be a report and came whole.
        """
        final = self._final
        if final:
            self.messages += 1
            if self._parts is not None:
                payload = b"".join(self._parts)
                self._parts = None
            if payload and _REPORT_MARK in payload:
                self.report = payload
                if self.on_report is not None:
                    self.on_report(payload)
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
