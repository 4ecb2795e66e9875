"""GCRA, the generic cell rate algorithm, as integer arithmetic: what admit.lua does in Redis, here for one process.

A limit is a number of requests per minute. Spaced evenly, requests come every `interval`; up to `burst` may come at
once. One number is kept per project: the theoretical arrival time (TAT) of the request after the last admitted one.
Redis' Lua counts in doubles, which hold microseconds since 1970 exactly, so both sides agree to the microsecond.
"""

from dataclasses import dataclass
from typing import Final

MICROSECONDS_PER_MINUTE: Final = 60_000_000
# A burst is worth this many seconds of the rate, but at least so many requests: someone with a low limit opens a few
# streams at once too. It never exceeds a whole minute's worth.
BURST_SECONDS: Final = 10
MIN_BURST: Final = 10


@dataclass(frozen=True, slots=True)
class Decision:
    """`tat_us`: what to keep from now on if allowed. `retry_after_us`: when the next try makes sense if not, else 0."""

    allowed: bool
    tat_us: int
    retry_after_us: int


def interval_us(requests_per_minute: int) -> int:
    """Microseconds between evenly spaced requests; `requests_per_minute` is at least 1."""
    return max(1, MICROSECONDS_PER_MINUTE // requests_per_minute)


def burst(requests_per_minute: int) -> int:
    """How many requests may come at once after a pause."""
    return min(requests_per_minute, max(MIN_BURST, -(-requests_per_minute * BURST_SECONDS // 60)))


def decide(tat_us: int | None, now_us: int, requests_per_minute: int) -> Decision:
    """Whether one more request is allowed at `now_us`, given the TAT kept so far (None: nothing kept)."""
    if requests_per_minute <= 0:
        return Decision(allowed=False, tat_us=tat_us or 0, retry_after_us=MICROSECONDS_PER_MINUTE)
    interval = interval_us(requests_per_minute)
    tolerance = burst(requests_per_minute) * interval
    # No admitted request leaves a TAT beyond now + tolerance; one that lies there comes from a clock that was set back
    # or a limit that was another, and must not lock anybody out.
    tat = min(max(tat_us or 0, now_us), now_us + tolerance) + interval
    wait = tat - tolerance - now_us
    if wait > 0:
        return Decision(allowed=False, tat_us=tat_us or 0, retry_after_us=wait)
    return Decision(allowed=True, tat_us=tat, retry_after_us=0)
