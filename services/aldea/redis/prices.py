"""Schedules of prices as Redis holds them: `from_ms micros_per_hour` pairs in the order in which they begin.

`0 360000 1767225600000 300000`: 0.36 dollars per hour of audio since ever, 0.30 from 2026-01-01 on.
"""

from collections.abc import Iterable
from functools import lru_cache


def schedule(prices: Iterable[tuple[int, int]]) -> str:
    """The text of prices: Unix milliseconds from which on each holds, and micro-dollars per hour."""
    return " ".join(f"{from_ms} {micros}" for from_ms, micros in sorted(prices))


def price_at(started_ms: int, *schedules: str) -> int:
    """The price in force at a time: of the first schedule of which one is. 0 if none is."""
    for text in schedules:
        for from_ms, micros in _parsed(text):
            if from_ms <= started_ms:
                return micros
    return 0


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[tuple[int, int], ...]:
    """The pairs of a schedule, the last to begin first."""
    numbers = [int(word) for word in text.split()]
    return tuple(reversed(list(zip(numbers[::2], numbers[1::2], strict=True))))
