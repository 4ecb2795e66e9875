"""What the status page says of runs and incidents."""

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backend.status import models, summary
from backend.status.repository import DayRow, UpdateRow

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TODAY = NOW.date()


def row(day: date = TODAY, **counts: int) -> DayRow:
    return DayRow(day, *(counts.get(field.name, 0) for field in fields(DayRow)[1:]))


def incident(**changes: Any) -> models.Incident:
    fields: dict[str, Any] = {
        "incident_id": "i", "title": "t", "impact": "minor", "components": ["stream"], "began": NOW, "resolved": None,
        "updates": [],
    }  # fmt: skip
    return models.Incident(**{**fields, **changes})


def states(*rows: DayRow, incidents: tuple[models.Incident, ...] = ()) -> list[str]:
    found = summary.status(NOW, rows, incidents)
    return [found.state, *(component.state for component in found.components)]


def test_days_without_runs_have_no_data_which_is_not_a_hundred_percent() -> None:
    [stream, *_] = summary.status(NOW, [], []).components
    assert len(stream.days) == 90
    assert {(day.runs, day.good) for day in stream.days} == {(0, None)}
    assert (stream.runs, stream.good, stream.state) == (0, None, "unknown")


def test_the_days_end_today_and_each_has_its_own_share() -> None:
    rows = [row(TODAY - timedelta(days=1), stream=4, stream_good=3), row(stream=2, stream_good=2)]
    [stream, upload, _] = summary.status(NOW, rows, []).components
    assert [(day.day, day.good) for day in stream.days[-2:]] == [(TODAY - timedelta(days=1), 0.75), (TODAY, 1.0)]
    assert stream.days[0].day == TODAY - timedelta(days=89)
    assert summary.first_day(NOW) == datetime(2026, 9, 2, tzinfo=UTC)
    assert stream.good == 5 / 6
    assert upload.good is None


@pytest.mark.parametrize(
    ("runs", "good", "state"),
    [(0, 0, "unknown"), (10, 10, "operational"), (10, 9, "operational"), (10, 8, "degraded"), (3, 0, "down")],
)
def test_the_state_is_that_of_the_last_minutes(runs: int, good: int, state: str) -> None:
    assert states(row(stream=99, stream_now=runs, stream_good_now=good))[1] == state


def test_runs_before_and_after_midnight_are_both_of_the_last_minutes() -> None:
    yesterday = row(TODAY - timedelta(days=1), stream_now=2, stream_good_now=0)
    assert states(yesterday, row(stream_now=3, stream_good_now=3))[1] == "degraded"


@pytest.mark.parametrize(
    ("impact", "state"), [("maintenance", "maintenance"), ("minor", "degraded"), ("major", "down")]
)
def test_an_open_incident_counts_where_the_canary_sees_nothing(impact: str, state: str) -> None:
    good = row(
        stream_now=5, stream_good_now=5, upload_now=5, upload_good_now=5, usage_now=5, usage_good_now=5,
    )  # fmt: skip
    opened = incident(impact=impact)
    assert states(good, incidents=(opened,)) == [state, state, "operational", "operational"]
    over = opened.model_copy(update={"resolved": NOW})
    assert states(good, incidents=(over,)) == ["operational"] * 4


def test_a_component_that_fails_comes_before_one_that_is_unknown() -> None:
    assert states(row(stream_now=3, stream_good_now=0)) == ["down", "down", "unknown", "unknown"]
    assert states(row(stream_now=3, stream_good_now=3)) == ["unknown", "operational", "unknown", "unknown"]


def test_each_objective_is_measured_by_its_own_figures() -> None:
    rows = [
        row(stream=1000, stream_good=999, first_words_measured=10, first_words_in_time=9, usage_lag_measured=4,
            usage_lag_in_time=4),
        row(TODAY - timedelta(days=3), first_words_measured=10, first_words_in_time=10),
    ]  # fmt: skip
    measured = {one.objective: one.measured for one in summary.status(NOW, rows, []).objectives}
    known = {name: share for name, share in measured.items() if share is not None}
    assert summary.measured(rows) == known
    assert measured == {"handshakes": 0.999, "first_words": 0.95, "final_lag": None, "usage_lag": 1.0}


def test_updates_are_gathered_by_incident_in_their_order() -> None:
    def update(incident_id: str, message: str) -> UpdateRow:
        return UpdateRow(incident_id, "t", "minor", ["stream"], NOW, None, NOW, "investigating", message)

    found = summary.as_incidents([update("b", "2"), update("b", "1"), update("a", "3")])
    assert [(one.incident_id, [said.message for said in one.updates]) for one in found] == [
        ("b", ["2", "1"]),
        ("a", ["3"]),
    ]
