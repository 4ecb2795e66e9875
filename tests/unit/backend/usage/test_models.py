"""Queries of usage."""

from datetime import UTC, date, datetime

import pytest
from pydantic import ValidationError

from backend.usage.models import BreakdownQuery, DaysQuery, RequestsQuery

ID = "018f0000-0000-7000-8000-000000000001"


def test_texts_of_a_query_string_are_read() -> None:
    query = RequestsQuery.model_validate({"page": "2", "limit": "1000.0", "key": ID, "status": "failed"})
    assert (query.page, query.limit, str(query.key)) == (2, 1000, ID)


def test_the_end_of_a_period_that_is_an_empty_text_is_not_given() -> None:
    days = DaysQuery.model_validate({"start": "", "end": "2026-03-31T12:00:00Z"})
    assert (days.start, days.end) == (None, date(2026, 3, 31))
    listed = RequestsQuery.model_validate({"start": "2026-03-31T12:00:00Z", "end": ""})
    assert (listed.start, listed.end) == (datetime(2026, 3, 31, 12, tzinfo=UTC), None)


@pytest.mark.parametrize(
    "values",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"page": "-1"},
        {"status": "maybe"},
        {"tag": ""},
        {"tag": "a\0"},
        {"key": "mine"},
        {"endpoint": "/v2/speak"},
        {"diarize": "loudly"},
        {"diarise": "true"},
        {"start": "soon"},
        {"min_audio_seconds": "-1"},
        {"max_audio_seconds": "nan"},
        {"max_audio_seconds": "1e9"},
        {"min_audio_seconds": "2", "max_audio_seconds": "1"},
    ],
)
def test_what_cannot_be_meant_or_was_not_recorded_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        RequestsQuery.model_validate(values)


@pytest.mark.parametrize("values", [{"key": ID, "accessor": ID}, {"service": "streaming", "method": "sync"}])
def test_the_same_filter_in_two_words_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="mean the same"):
        DaysQuery.model_validate(values)


def test_a_breakdown_is_by_day_by_default_and_by_four_things_at_most() -> None:
    assert BreakdownQuery.model_validate({}).grouping == ["day"]
    with pytest.raises(ValidationError):
        BreakdownQuery.model_validate({"grouping": ["day", "tag", "service", "endpoint", "accessor"]})
    with pytest.raises(ValidationError):
        BreakdownQuery.model_validate({"grouping": ["model"]})
