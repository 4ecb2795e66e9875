from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl

import pytest

from frontend import usage_view
from frontend.models import Breakdown, ListedKey, Usage
from frontend.usage_view import Selection, read_search, read_selection
from tests.fakes.platform_api import KEY

TODAY = date(2026, 11, 23)


def test_without_parameters_it_is_the_last_thirty_days() -> None:
    selection = read_selection({}, TODAY)
    assert (selection.start, selection.end, selection.days, selection.grouping) == (
        date(2026, 10, 25),
        TODAY,
        30,
        "day",
    )
    assert selection.is_preset(30, TODAY)
    assert not selection.filters


@pytest.mark.parametrize(
    "query",
    [
        {"start": "", "end": ""},
        {"grouping": "evil", "service": "x", "endpoint": "/etc"},
    ],
)
def test_what_cannot_be_understood_is_the_default(query: dict[str, str]) -> None:
    assert read_selection(query, TODAY) == read_selection({}, TODAY)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"start": "soon"}, "From (“soon”)"),
        ({"start": "0026-11-30", "end": "2026-11-23"}, "From (“0026-11-30”)"),
        ({"start": "2026-11-01", "end": "9999-12-31"}, "To (“9999-12-31”)"),
        ({"end": "2026-02-30"}, "To (“2026-02-30”)"),
        ({"start": "x" * 5000, "end": "later"}, f"From (“{'x' * 40}”)"),
    ],
)
def test_what_is_no_day_is_a_problem_and_not_another_period(query: dict[str, str], named: str) -> None:
    problem = read_selection(query, TODAY).problem
    assert problem == f"{named} is no day of the years 2000 to 2199. Choose one, or none."


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        ("2026-11-24", "2026-11-23", "From (2026-11-24) is after To (2026-11-23)"),
        ("2025-11-22", "2026-11-23", "The period has 367 days; at most 366 can be shown"),
        ("2025-11-23", "2026-11-23", ""),
    ],
)
def test_a_period_that_cannot_be_is_kept_as_typed_with_its_problem(start: str, end: str, problem: str) -> None:
    found = read_selection({"start": start, "end": end}, TODAY)
    assert found.period == {"start": start, "end": end}
    assert found.problem.startswith(problem)
    assert bool(found.problem) == bool(problem)


def test_a_query_survives_its_own_link() -> None:
    selection = Selection(
        start=TODAY, end=TODAY, grouping="tag", key=KEY, endpoint="/v1/listen", tag="a&b=c", service="streaming"
    )
    query = dict(part.split("=", 1) for part in selection.query().split("&"))
    assert query["tag"] == "a%26b%3Dc"
    query["tag"], query["endpoint"] = "a&b=c", "/v1/listen"
    assert read_selection(query, TODAY) == selection
    assert "start=2026-11-01&end=2026-11-01" in selection.on("2026-11-01")
    assert "start=2026-11-17&end=2026-11-23" in selection.preset(7, TODAY)


def test_days_without_usage_are_not_in_the_table() -> None:
    days = [
        {"start": (TODAY + timedelta(days=n)).isoformat(), "hours": hours, "requests": requests}
        for n, (hours, requests) in enumerate([(0.5, 2), (0.0, 0), (0.0, 1)])
    ]
    total = {"hours": 0.5, "requests": 3}
    usage = Usage.model_validate({"results": days, "total": total})
    assert [row.value for row in usage_view.day_rows(usage)] == ["2026-11-25", "2026-11-23"]


def test_groups_are_ordered_by_size_and_narrow_down_to_themselves() -> None:
    def group(hours: float, **named: object) -> dict[str, object]:
        return {"hours": hours, "requests": 1, "grouping": {"tags": None, "accessor": None, **named}}

    def breakdown(*groups: dict[str, object]) -> Breakdown:
        return Breakdown.model_validate({"results": groups})

    tags = breakdown(group(0.1, tags=[]), group(0.3, tags=["web"]), group(0.2, tags=["prod"]))
    assert [(row.value, row.filters) for row in usage_view.group_rows(tags, "tag")] == [
        ("web", {"tag": "web"}), ("prod", {"tag": "prod"}), ("", {}),
    ]  # fmt: skip
    keys = breakdown(group(0.1, accessor=KEY))
    assert usage_view.group_rows(keys, "accessor")[0].filters == {"key": KEY}


def test_keys_are_called_by_their_comment_and_last_characters() -> None:
    key = {
        "api_key_id": KEY,
        "comment": "",
        "scopes": [],
        "tags": [],
        "created": "2026-11-23T15:00:00Z",
        "last4": "x7Qz",
    }
    listed = {
        "api_key": {**key, "expiration_date": None, "last_used": None},
        "member": {"member_id": None, "email": None},
    }
    assert usage_view.key_names([ListedKey.model_validate(listed)]) == {KEY: "Unnamed key (…x7Qz)"}


def test_today_is_a_utc_day() -> None:
    assert abs(usage_view.today() - datetime.now(UTC).date()) <= timedelta(days=1)


def test_a_search_survives_its_own_link() -> None:
    query = {"start": "2026-11-01", "end": "2026-11-23", "tag": "a&b", "status": "failed", "min_audio_seconds": "1.5"}
    selection = read_search(query, TODAY)
    assert (selection.search, selection.problem) == ({"status": "failed", "min_audio_seconds": "1.5"}, "")
    assert read_search(dict(parse_qsl(selection.query())), TODAY) == selection


@pytest.mark.parametrize("status", ["", "maybe", "<b>"])
def test_an_outcome_that_is_none_is_any(status: str) -> None:
    assert read_search({"status": status}, TODAY).search == {}
