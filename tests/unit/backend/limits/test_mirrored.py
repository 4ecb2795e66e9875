"""From limits to what admission reads."""

from backend.limits.mirrored import record_of_limits, this_month


def test_seconds_become_milliseconds() -> None:
    record = record_of_limits(
        "k", requests_per_minute=1, concurrent_streams=None, monthly_audio_seconds=2, monthly_budget_micros=3
    )
    assert record.to_text() == "k 1 - 2000 3"


def test_a_month_begins_with_its_first_day() -> None:
    assert (this_month().day, this_month().hour) == (1, 0)
