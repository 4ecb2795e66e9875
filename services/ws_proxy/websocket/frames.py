"""WebSocket frames (RFC 6455 section 5), I/O-free: reading headers, building control frames, close payloads."""

import os
import struct
from enum import IntEnum
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

# RFC 6455 section 5.5: a control frame's payload is at most this long, so one-byte lengths suffice.
MAX_CONTROL_PAYLOAD: Final = 125
# A close reason shares that payload with the two bytes of the code.
MAX_REASON_BYTES: Final = MAX_CONTROL_PAYLOAD - 2


class CloseCode(IntEnum):
    """Close codes of RFC 6455 section 7.4.1 and the IANA registry that this platform uses."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005  # never on the wire: the peer's Close carried no code
    ABNORMAL = 1006  # never on the wire: the connection was lost without a Close
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012


class ProtocolViolation(Exception):
    """A peer broke RFC 6455.

    `code`: the close code for it. `offset`: where in its stream the offending frame begins. `passed`: the bytes of
    the chunk under scan that came before that frame and may still be passed on.
    """

    def __init__(self, code: CloseCode, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.offset = offset
        self.passed = b""


def mask_bytes(payload: bytes, mask: bytes) -> bytes:
    """Apply a four-byte mask (RFC 6455 section 5.3); its own inverse."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def frame_head(first: int, size: int, mask: bytes = b"") -> bytes:
    """A frame's header. `first`: its first byte, FIN and opcode. `size`: of the payload. `mask`: none or four bytes."""
    bit = 0x80 if mask else 0
    if size < 126:
        return bytes((first, bit | size)) + mask
    if size < 1 << 16:
        return struct.pack("!BBH", first, bit | 126, size) + mask
    return struct.pack("!BBQ", first, bit | 127, size) + mask


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """One complete frame (FIN set). `masked`: as a client must send it, with a fresh random mask."""
    if not masked:
        return frame_head(0x80 | opcode, len(payload)) + payload
    mask = os.urandom(4)
    return frame_head(0x80 | opcode, len(payload), mask) + mask_bytes(payload, mask)


def close_frame(code: int, reason: str = "", *, masked: bool) -> bytes:
    """A Close frame. A code that may not be sent (1005, 1006) gives one without a payload; reasons are cut to fit."""
    if code in (CloseCode.NO_STATUS, CloseCode.ABNORMAL):
        return frame(CLOSE, b"", masked=masked)
    text = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, struct.pack("!H", code) + text, masked=masked)


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and reason of a Close frame's payload; 1005 when it has none. Raises ProtocolViolation."""
    if not payload:
        return CloseCode.NO_STATUS, ""
    if len(payload) == 1:
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "close frame with one byte of payload, a code has two")
    code = payload[0] << 8 | payload[1]
    # RFC 6455 section 7.4.2, with the codes that IANA registered since; 1004 to 1006 and 1015 never travel.
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, f"close code {code} may not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.INVALID_DATA, "close reason is not UTF-8") from None
