"""Which months are looked at, and what a look finds of each limit."""

from datetime import date

import pytest

from backend.alerts import thresholds


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


def test_a_month_ends_where_the_next_begins() -> None:
    assert [thresholds._after(date(2026, month, 1)) for month in (2, 11, 12)] == [
        date(2026, 3, 1),
        date(2026, 12, 1),
        date(2027, 1, 1),
    ]


def test_quota_and_budget_are_looked_at_of_keys_projects_and_accounts() -> None:
    for subject in ("key", "project", "account"):
        for kind in ("quota", "budget"):
            assert any(f"'{kind}.reached'" in one and f"'{subject}'" in one for one in thresholds._LIMITS)
