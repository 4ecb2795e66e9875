"""The shipped rules in quick motion: the same expressions and thresholds over shorter times. No I/O.

Nobody waits an hour for a burn rate: an exercise divides every window of a range (`[1h]`), every `for:` and every
interval by one factor. What an expression compares with stays: 300 s of age are 300 s.
"""

import re
from typing import Final

# At a factor of 60 the shortest window, 5 m, is 5 s: five scrapes. Beyond it a rate has nothing to compare.
MOST: Final = 60
# Intervals of scrapes and evaluations are not divided below this: the machine has to keep up.
SHORTEST_INTERVAL_MS: Final = 1000

_MILLISECONDS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_ONE: Final = rf"\d+(?:{'|'.join(_MILLISECONDS)})"
_WINDOW: Final = re.compile(rf"\[({_ONE})\]")
_FOR: Final = re.compile(rf"^( +for: )({_ONE})$", re.MULTILINE)
_INTERVAL: Final = re.compile(rf"^( +(?:scrape_|evaluation_)?interval: )({_ONE})$", re.MULTILINE)


def faster(text: str, factor: int) -> str:
    """The YAML of rules or of Prometheus' configuration, `factor` times as fast."""
    if factor == 1:
        return text
    text = _WINDOW.sub(lambda found: f"[{_divided(found[1], factor)}]", text)
    text = _FOR.sub(lambda found: found[1] + _divided(found[2], factor), text)
    return _INTERVAL.sub(lambda found: found[1] + _divided(found[2], factor, SHORTEST_INTERVAL_MS), text)


def milliseconds(duration: str) -> int:
    """A duration as Prometheus writes it, of one unit."""
    number = duration.rstrip("".join(_MILLISECONDS))
    return int(number) * _MILLISECONDS[duration.removeprefix(number)]


def _divided(duration: str, factor: int, least: int = 0) -> str:
    return f"{max(milliseconds(duration) // factor, least)}ms"
