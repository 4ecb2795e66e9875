"""Periods from texts: which are read, what they default to, which are too long."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.usage.errors import PeriodUnusable
from backend.usage.period import (
    DAY_MS,
    Period,
    day_of,
    kept_since,
    period,
    read_day,
    read_first_day,
    read_last_day,
    read_moment,
    start_of,
)

TODAY = date(2026, 3, 31)


def resolved(start: date | None = None, end: date | None = None, max_days: int = 366) -> Period:
    return period(start, end, max_days=max_days, today=TODAY)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-03-31", date(2026, 3, 31)),
        ("2026-03-31T12:00:00Z", datetime(2026, 3, 31, 12, tzinfo=UTC)),
        ("2026-03-31T12:00:00", datetime(2026, 3, 31, 12, tzinfo=UTC)),
        ("2026-03-31T12:00:00+02:00", datetime(2026, 3, 31, 10, tzinfo=UTC)),
        ("2026-03-31T12:00:00.250-01:00", datetime(2026, 3, 31, 13, 0, 0, 250_000, tzinfo=UTC)),
        # A "+" that was not written as %2B arrives as a space.
        ("2026-03-31T00:00:00 05:30", datetime(2026, 3, 30, 18, 30, tzinfo=UTC)),
        ("2026-03-31T00:00 0530", datetime(2026, 3, 30, 18, 30, tzinfo=UTC)),
        ("2026-03-31T00:00:00.5 02", datetime(2026, 3, 30, 22, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-31 12:00", datetime(2026, 3, 31, 12, tzinfo=UTC)),
        ("2026-03-31 12:00:00 02:00", datetime(2026, 3, 31, 10, tzinfo=UTC)),
        ("2026-03-31t12:00:00z", datetime(2026, 3, 31, 12, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_day_or_a_time_in_utc_unless_it_says_otherwise(text: str, found: date) -> None:
    assert read_moment(text) == found
    assert isinstance(read_moment(text), datetime) is isinstance(found, datetime)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-02-30", "1774915200", "20260331", "2026-3-1", "1969-12-31", "9999-12-31T23:59:59-12:00",
     "2000-01-01T00:00:00+14:00", "2026-03-31T12", "2026-03-31T00:00:00  05:30",
     "2026-03-31T00:00:00 99:30", "2026-03-31T00:00:00 UTC", "\u0662\u0660\u0662\u0666-\u0660\u0663-\u0660\u0661"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_moment(text)
    with pytest.raises(ValueError):
        read_day(text)


def test_a_time_that_cannot_be_read_says_how_a_plus_is_written() -> None:
    with pytest.raises(ValueError, match="%2B"):
        read_moment("2026-03-31T00:00:00 5:30")


def test_a_time_is_no_day() -> None:
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        read_day("2026-03-31T00:00:00Z")


def test_a_period_of_whole_days_begins_and_ends_with_the_day_of_a_time() -> None:
    assert [read_first_day(text) for text in ("2026-03-31", "2026-03-31T00:00Z", "2026-03-31T23:59:59Z")] == [TODAY] * 3
    assert [read_last_day(text) for text in ("2026-03-31", "2026-04-01T00:00Z", "2026-03-31T00:00:00.000001Z")] == [
        TODAY
    ] * 3
    assert read_first_day("2026-04-01T01:00:00+02:00") == TODAY
    assert read_last_day("2026-04-01T02:00:00+02:00") == TODAY
    for read in (read_first_day, read_last_day):
        assert type(read("2026-03-31T12:00:00Z")) is date
        with pytest.raises(ValueError, match="YYYY-MM-DD, or"):
            read("tomorrow")


def test_no_period_given_is_today_and_the_29_days_before() -> None:
    found = resolved()
    assert (found.first_day, found.last_day) == (date(2026, 3, 2), TODAY)
    assert len(found.days) == 30


def test_an_end_that_is_a_day_is_included_and_one_that_is_a_time_is_not() -> None:
    assert resolved(TODAY, TODAY) == Period(start_of(TODAY), start_of(TODAY) + DAY_MS)
    noon = datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert resolved(TODAY, noon).end_ms == start_of(TODAY) + DAY_MS // 2
    midnight = datetime(2026, 3, 31, tzinfo=timezone(timedelta(hours=2)))
    assert resolved(date(2026, 3, 30), midnight).end_ms == start_of(TODAY) - 2 * 3_600_000
    assert resolved(date(2026, 3, 1), datetime(2026, 3, 31, tzinfo=UTC)).last_day == date(2026, 3, 30)


def test_a_start_alone_reaches_to_today_and_an_end_alone_30_days_back() -> None:
    assert resolved(start=date(2026, 3, 30)).days == [date(2026, 3, 30), TODAY]
    assert resolved(end=date(2026, 1, 30)).first_day == date(2026, 1, 1)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (date(2026, 3, 31), date(2026, 3, 30)),
        (datetime(2026, 3, 31, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)),
        (date(2025, 3, 30), TODAY),
        (date(2024, 1, 1), None),
        (date(2027, 1, 1), None),
    ],
)
def test_the_error_for_an_empty_or_too_long_period_says_what_is_allowed(start: Any, end: Any) -> None:
    with pytest.raises(PeriodUnusable, match=r"got start .*; allowed: .*\. \w+"):
        resolved(start, end)


def test_the_longest_period_is_a_setting_and_can_be_had() -> None:
    assert len(resolved(TODAY - timedelta(days=6), TODAY, max_days=7).days) == 7
    with pytest.raises(PeriodUnusable, match="at most 7 days"):
        resolved(TODAY - timedelta(days=7), TODAY, max_days=7)


@given(st.dates(date(2000, 1, 1), date(2199, 12, 31)), st.integers(0, DAY_MS - 1))
def test_every_millisecond_belongs_to_the_day_that_it_is_in(day: date, into: int) -> None:
    unix_ms = start_of(day) + into
    assert day_of(unix_ms) == day == datetime.fromtimestamp(unix_ms // 1000, UTC).date()


def test_what_is_kept_is_counted_in_whole_months() -> None:
    assert kept_since(TODAY, 1) == date(2026, 2, 1)
    assert kept_since(TODAY, 13) == date(2025, 2, 1)
    assert kept_since(date(2026, 12, 31), 12) == date(2025, 12, 1)
