"""Request ids: UUIDv7 (RFC 9562 section 5.7), so that ids sort by the time at which their request began."""

import os
import time


def new_request_id(now_ms: int | None = None) -> str:
    """A fresh UUIDv7 as canonical text; `now_ms` is Unix time in milliseconds (the clock's by default)."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    noise = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (noise >> 64 & 0xFFF) << 64
    value |= 0b10 << 62 | noise & (1 << 62) - 1
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def started_ms(request_id: str) -> int:
    """The Unix time in milliseconds that a UUIDv7 carries."""
    return int(request_id[:8] + request_id[9:13], 16)
