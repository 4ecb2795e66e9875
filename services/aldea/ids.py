"""Request ids: UUIDv7 (RFC 9562 section 5.7), so that ids sort by the time at which their request began."""

import os
import time
from typing import Final

# A random digit to one that has the variant's two bits (RFC 9562 section 4.1) and keeps two of its own.
_VARIANT: Final = {f"{digit:x}": f"{0b1000 | digit & 0b11:x}" for digit in range(16)}


def new_request_id(now_ms: int | None = None) -> str:
    """A fresh UUIDv7 as canonical text; `now_ms` is Unix time in milliseconds (the clock's by default)."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    time_digits = f"{now_ms & (1 << 48) - 1:012x}"
    noise = os.urandom(10).hex()
    # Of the noise's 20 digits one becomes the variant's (two of its bits are kept), and one is not used.
    return f"{time_digits[:8]}-{time_digits[8:]}-7{noise[:3]}-{_VARIANT[noise[3]]}{noise[4:7]}-{noise[7:19]}"


def started_ms(request_id: str) -> int:
    """The Unix time in milliseconds that a UUIDv7 carries."""
    return int(request_id[:8] + request_id[9:13], 16)
