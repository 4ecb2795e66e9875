"""A chart of days: its figures for the script that draws it, and the same as a table. No I/O."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from frontend.models import Amounts, Breakdown, Usage
from frontend.wording import MICROS

# Series that differ enough in colour (css/tokens.css); what is beyond them is one more.
MOST: Final = 5
# What can be shown, one at a time → its name. The script knows how each is written.
MEASURES: Final = {"hours": "Audio", "requests": "Requests", "cost": "Cost"}
OTHERS: Final = "Others"


@dataclass(frozen=True, slots=True)
class Day:
    """A line of the table: a UTC day that had any usage, and what each series had."""

    start: str
    amounts: tuple[Amounts, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`data`: for the script, as JSON. `names`: of its series, the largest first; one without a name if not stacked."""

    data: str
    names: tuple[str, ...]
    days: tuple[Day, ...]


def by_day(usage: Usage) -> Chart:
    """One bar a day."""
    return _chart([found.start for found in usage.results], {"": {found.start: found for found in usage.results}})


def by_key(usage: Usage, breakdown: Breakdown, names: Mapping[str, str]) -> Chart:
    """A bar a day, stacked by API key. `breakdown`: by day and key; `names`: what keys are called, by their id."""
    found: dict[str, dict[str, Amounts]] = defaultdict(dict)
    for group in breakdown.results:
        found[group.grouping.accessor or ""][group.grouping.start] = group
    largest = sorted(found, key=lambda key: (-_hours(found[key].values()), key))
    series = {names.get(key, f"…{key[-8:]}"): found[key] for key in largest[:MOST]}
    if rest := largest[MOST:]:
        days = {day for key in rest for day in found[key]}
        series[OTHERS] = {day: _sum(found[key][day] for key in rest if day in found[key]) for day in days}
    return _chart([found.start for found in usage.results], series)


def _chart(days: list[str], series: Mapping[str, Mapping[str, Amounts]]) -> Chart:
    none = Amounts(hours=0, requests=0)
    columns = [[of_day.get(day, none) for day in days] for of_day in series.values()]
    data: dict[str, Any] = {"days": [_seconds(day) for day in days], "names": list(series)}
    data["hours"] = [[round(found.hours, 6) for found in column] for column in columns]
    data["requests"] = [[found.requests for found in column] for column in columns]
    data["cost"] = [[found.charge_micros / MICROS for found in column] for column in columns]
    lines = (Day(day, tuple(column[at] for column in columns)) for at, day in enumerate(days))
    used = tuple(line for line in lines if any(found.requests for found in line.amounts))
    return Chart(data=json.dumps(data), names=tuple(series), days=used)


def _sum(found: Iterable[Amounts]) -> Amounts:
    amounts = list(found)
    return Amounts(
        hours=_hours(amounts),
        requests=sum(one.requests for one in amounts),
        charge_micros=sum(one.charge_micros for one in amounts),
    )


def _hours(amounts: Iterable[Amounts]) -> float:
    return sum(found.hours for found in amounts)


def _seconds(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day[:10]), datetime.min.time(), UTC).timestamp())
