"""Which filters need the single requests, and the conditions that they become."""

import pytest

from backend.usage.filters import Conditions, Filters

BY_ROLLUP = Filters(key_id="k", endpoints=("other",), service="streaming", ended=True, nothing=True)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(tag="t"), Filters(outcome="succeeded"), Filters(request_id="r"), Filters(model="m"),
        Filters(with_any=("f",)), Filters(without=("f",)), Filters(asynchronous=True), Filters(least_ms=0),
        Filters(most_ms=9),
    ],
)  # fmt: skip
def test_what_the_rollups_do_not_hold_is_looked_for_in_the_requests(filters: Filters) -> None:
    assert filters.of_requests_only
    assert not BY_ROLLUP.of_requests_only


def test_each_filter_is_one_more_condition_whose_values_are_arguments() -> None:
    where = Conditions("p")
    assert (str(where), where.arguments) == ("project_id = $1", ["p"])
    where.filter(Filters(key_id="'; --", with_any=("diarize",)))
    assert str(where) == "project_id = $1 and key_id = $2 and features && $3::text[]"
    assert where.arguments == ["p", "'; --", ["diarize"]]
