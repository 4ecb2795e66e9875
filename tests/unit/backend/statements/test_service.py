from datetime import UTC, date, datetime

import pytest

from backend.statements.errors import MonthUnusable
from backend.statements.service import after, before, closes, read_month

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_months_follow_each_other_over_the_end_of_a_year() -> None:
    assert after(date(2026, 12, 1)) == date(2027, 1, 1)
    assert after(date(2028, 2, 29)) == date(2028, 3, 1)
    assert before(date(2027, 1, 31)) == date(2026, 12, 1)


def test_a_month_closes_on_the_third_day_of_the_next() -> None:
    assert closes(date(2026, 12, 1)) == datetime(2027, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11", "2000-01", "2026-01"])
def test_a_month_that_has_begun_is_read(text: str) -> None:
    assert f"{read_month(text, NOW):%Y-%m}" == text


@pytest.mark.parametrize("text", ["", "2026-12", "1999-12", "2026-00", "2026-13", "2026-1", "2026-11-01", "0000-01"])
def test_what_is_no_month_or_has_not_begun_is_refused(text: str) -> None:
    with pytest.raises(MonthUnusable, match="2026-11"):
        read_month(text, NOW)
