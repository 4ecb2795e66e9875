"""How the status page words what it shows. Pure functions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from frontend.status_models import Status, StatusDay

NO_DATA: Final = "no data"
# A day's share of good checks from which on its bar is the colour of a good one, and of a poor one.
_GOOD: Final = 0.995
_POOR: Final = 0.95

STATES: Final[Mapping[str, tuple[str, str]]] = {
    "operational": ("Operational", "good"),
    "maintenance": ("Maintenance", "warn"),
    "degraded": ("Degraded", "warn"),
    "down": ("Down", "bad"),
    "unknown": ("No data", ""),
}
IMPACTS: Final[Mapping[str, str]] = {"maintenance": "Maintenance", "minor": "Partly affected", "major": "Not working"}
PROGRESS: Final[Mapping[str, str]] = {
    "investigating": "Investigating",
    "identified": "Identified",
    "monitoring": "Monitoring",
    "resolved": "Resolved",
}
_HEADLINES: Final[Mapping[str, tuple[str, str]]] = {
    "operational": ("All systems work", "good"),
    "maintenance": ("Maintenance is under way", "warn"),
    "degraded": ("Some requests fail", "warn"),
    "down": ("A part of the platform does not work", "danger"),
    "unknown": ("There is no current data", "warn"),
}


@dataclass(frozen=True, slots=True)
class DayRow:
    """A UTC day for the table. `shares`: of the components, in their order."""

    day: str
    shares: tuple[str, ...]


def headline(status: Status | None) -> tuple[str, str]:
    """The page's first sentence, and the kind of its banner. None: the status cannot be read."""
    if status is None:
        return "The status cannot be read right now", "warn"
    return _HEADLINES.get(status.state, _HEADLINES["unknown"])


def state(name: str) -> tuple[str, str]:
    """A component's state in words, and its badge's kind."""
    return STATES.get(name, STATES["unknown"])


def share(part: float | None) -> str:
    """A share in percent, rounded down: what is not all is never shown as 100 %."""
    return NO_DATA if part is None else f"{math.floor(part * 10_000 + 1e-6) / 100:.2f}".rstrip("0").rstrip(".") + " %"


def bar(day: StatusDay) -> str:
    """The kind of a day's bar."""
    if day.good is None:
        return "none"
    return "good" if day.good >= _GOOD else "warn" if day.good >= _POOR else "bad"


def in_words(name: str, days: list[StatusDay]) -> str:
    """What a component's bars show, for whoever does not see them."""
    seen = [day for day in days if day.good is not None]
    worse = sum(1 for day in seen if bar(day) != "good")
    return f"{name}: data of {len(seen)} of {len(days)} days, {worse} of them with failures"


def day_rows(status: Status) -> list[DayRow]:
    """The days of which there is data, the newest first."""
    by_day = zip(*(component.days for component in status.components), strict=False)
    rows = [
        DayRow(days[0].day, tuple(share(day.good) for day in days))
        for days in by_day
        if any(day.good is not None for day in days)
    ]
    return rows[::-1]
