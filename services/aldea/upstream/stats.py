"""What an STT server says of itself in `GET /stats`, read with suspicion. Performs no I/O."""

import json
from dataclasses import dataclass
from typing import Any, Final

# A body of more than this is no statistics; the embedded STT server's has a few hundred bytes.
MAX_STATS_BYTES: Final = 64 * 1024
# No server has more places than this: a larger figure is a mistake that would draw all streams to it.
MAX_PLACES: Final = 100_000


class AbsurdStats(ValueError):
    """The statistics cannot be true; the message says what was got and what is allowed."""


@dataclass(frozen=True, slots=True)
class Stats:
    """`capacity` and `used`: places for streams, None if the server does not say. `draining`: it is about to stop."""

    capacity: int | None = None
    used: int = 0
    draining: bool = False


UNKNOWN: Final = Stats()


def read_stats(body: bytes) -> Stats:
    """The statistics in a response's body; UNKNOWN for what is no JSON object or has none of the fields.

    Raises AbsurdStats for fields that cannot be true. Then nothing else in the body is believed either.
    """
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return UNKNOWN
    if not isinstance(found, dict):
        return UNKNOWN
    draining = found.get("draining", False)
    if not isinstance(draining, bool):
        raise AbsurdStats(f"draining is {draining!r:.40}; allowed: true or false")
    if "capacity" not in found or "used" not in found:
        return Stats(draining=draining)
    return Stats(_places(found, "capacity"), _places(found, "used"), draining)


def _places(found: dict[str, Any], name: str) -> int:
    value = found[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 8.0 is what some JSON writers make of 8
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_PLACES:
        raise AbsurdStats(f"{name} is {value!r:.40}; allowed: 0 to {MAX_PLACES}")
    return value
