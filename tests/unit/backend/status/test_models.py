"""What a canary may report, and what an incident may say."""

from typing import Any

import pytest
from pydantic import ValidationError

from backend.status.models import CanaryRuns, OpenIncident, UpdateIncident

RUN: dict[str, Any] = {"began_ms": 1, "stream": True}
OPENED: dict[str, Any] = {"title": "No words", "impact": "major", "components": ["stream"], "message": "We look."}


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [RUN] * 101,
        [{}],
        [{**RUN, "began_ms": -1}],
        [{**RUN, "began_ms": 2**64}],
        [{**RUN, "stream": "yes"}],
        [{**RUN, "usage_lag_ms": 600_001}],
        [{**RUN, "first_words_ms": -1}],
    ],
)
def test_a_report_of_what_no_canary_sees_is_refused(runs: list[Any]) -> None:
    with pytest.raises(ValidationError):
        CanaryRuns.model_validate({"runs": runs})


def test_what_was_not_tried_may_be_absent_or_null() -> None:
    [found] = CanaryRuns.model_validate({"runs": [{**RUN, "upload": None}]}).runs
    assert (found.stream, found.upload, found.usage) == (True, None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""}, {"title": " "}, {"title": "x" * 121}, {"title": "a\nb"}, {"impact": "none"}, {"components": []},
        {"components": ["api"]}, {"message": ""}, {"message": "x" * 1001}, {"message": "\0"},
    ],
)  # fmt: skip
def test_an_incident_that_customers_could_not_read_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenIncident.model_validate({**OPENED, **change})


def test_an_update_has_one_of_four_states() -> None:
    assert UpdateIncident(state="resolved", message="Over.").state == "resolved"
    with pytest.raises(ValidationError):
        UpdateIncident.model_validate({"state": "closed", "message": "Over."})
