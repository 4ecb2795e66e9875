"""Charts: the script's figures and the table's are the same, stacked or not."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from frontend import chart
from frontend.models import Breakdown, Usage

FIRST = date(2026, 11, 23)


def usage(*hours: float) -> Usage:
    days = [
        {
            "start": (FIRST + timedelta(days=at)).isoformat(),
            "hours": one,
            "requests": round(one * 10),
            "charge_micros": round(one * 360_000),
        }
        for at, one in enumerate(hours)
    ]
    return Usage.model_validate({"results": days, "total": {"hours": sum(hours), "requests": 1}})


def by_key(*found: tuple[str, int, float]) -> Breakdown:
    groups: list[dict[str, Any]] = [
        {
            "hours": hours,
            "requests": 1,
            "charge_micros": 500_000,
            "grouping": {"accessor": key, "start": (FIRST + timedelta(days=day)).isoformat()},
        }
        for key, day, hours in found
    ]
    return Breakdown.model_validate({"results": groups})


def test_every_day_is_drawn_and_those_with_usage_are_in_the_table() -> None:
    found = chart.by_day(usage(0.5, 0.0, 0.1))
    data = json.loads(found.data)
    assert (data["hours"], data["requests"], data["cost"]) == ([[0.5, 0.0, 0.1]], [[5, 0, 1]], [[0.18, 0.0, 0.036]])
    assert data["days"][0] == datetime(2026, 11, 23, tzinfo=UTC).timestamp()
    assert [day.start for day in found.days] == ["2026-11-23", "2026-11-25"]
    assert found.names == ("",)
    assert {*chart.MEASURES} <= {*data}


def test_keys_are_stacked_the_largest_first_by_their_names() -> None:
    breakdown = by_key(("a" * 36, 0, 0.2), ("b" * 36, 0, 0.3), ("b" * 36, 1, 0.4))
    found = chart.by_key(usage(0.5, 0.4), breakdown, {"b" * 36: "server"})
    data = json.loads(found.data)
    assert found.names == tuple(data["names"]) == ("server", "…aaaaaaaa")
    assert data["hours"] == [[0.3, 0.4], [0.2, 0]]
    assert data["cost"] == [[0.5, 0.5], [0.5, 0]]
    assert [[amount.hours for amount in day.amounts] for day in found.days] == [[0.3, 0.2], [0.4, 0]]


def test_more_keys_than_colours_are_others_and_nothing_is_lost() -> None:
    keys = [f"{number:036}" for number in range(chart.MOST + 3)]
    breakdown = by_key(*((key, day, number + 1) for number, key in enumerate(keys) for day in (0, 1)))
    found = chart.by_key(usage(36, 36), breakdown, {})
    assert (len(found.names), found.names[-1]) == (chart.MOST + 1, chart.OTHERS)
    for day in found.days:
        assert sum(amount.hours for amount in day.amounts) == sum(range(1, len(keys) + 1))
        assert sum(amount.requests for amount in day.amounts) == len(keys)
        assert day.amounts[-1].charge_micros == 3 * 500_000
