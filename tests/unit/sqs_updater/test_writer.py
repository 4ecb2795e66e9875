from datetime import date

import pytest

from sqs_updater import writer
from sqs_updater.writer import BadReadings, array_text, utc_day
from tests.readings import STARTED_MS


def test_a_day_begins_at_midnight_utc() -> None:
    assert utc_day(STARTED_MS) == date(2026, 3, 31)
    assert utc_day(STARTED_MS + 999) == date(2026, 3, 31)
    assert utc_day(STARTED_MS + 1000) == date(2026, 4, 1)
    assert utc_day(0) == date(1970, 1, 1)


def test_days_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MAX_DAYS", 3)
    monkeypatch.setattr(writer, "_days", {})
    for day in range(50):
        assert utc_day(day * 86_400_000).toordinal() == date(1970, 1, 1).toordinal() + day
        assert len(writer._days) <= 3


def test_a_time_past_the_calendar_is_the_readings_fault() -> None:
    with pytest.raises(BadReadings, match="started_ms"):
        utc_day(1 << 52)


def test_texts_become_an_array_literal_with_quotes_and_backslashes_kept() -> None:
    assert array_text(()) == "{}"
    assert array_text(("a", 'b"c', "d\\e", "", "null")) == '{"a","b\\"c","d\\\\e","","null"}'
