"""Request ids: UUIDv7 (RFC 9562 section 5.7), so that ids sort by the time at which their request began."""

import os
import time
import uuid


def new_request_id(now_ms: int | None = None) -> str:
    """A fresh UUIDv7 as canonical text; `now_ms` is Unix time in milliseconds (the clock's by default)."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    noise = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (noise >> 64 & 0xFFF) << 64
    value |= 0b10 << 62 | noise & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def started_ms(request_id: str) -> int:
    """The Unix time in milliseconds that a UUIDv7 carries."""
    return uuid.UUID(request_id).int >> 80
