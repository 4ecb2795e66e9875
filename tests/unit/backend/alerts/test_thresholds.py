"""Which months are looked at, and what a look finds of each limit."""

from datetime import date

import pytest

from backend.alerts import thresholds
from backend.alerts.events import PERCENTS


@pytest.mark.parametrize(
    ("today", "months"),
    [
        (date(2026, 11, 2), [date(2026, 11, 1)]),
        (date(2026, 11, 30), [date(2026, 11, 1)]),
        (date(2026, 12, 1), [date(2026, 11, 1), date(2026, 12, 1)]),
        (date(2027, 1, 1), [date(2026, 12, 1), date(2027, 1, 1)]),
    ],
)
def test_on_its_first_day_a_month_is_looked_at_beside_the_last_one(today: date, months: list[date]) -> None:
    assert list(thresholds._months(today)) == months


def test_quota_and_budget_are_looked_at_and_both_begin_at_the_smallest_part() -> None:
    assert "'quota.reached'" in thresholds._USED.sql
    assert "'budget.reached'" in thresholds._USED.sql
    assert f"used * {100 // min(PERCENTS)} >= allowed" in thresholds._USED.sql
