"""Which statement a question becomes; what they find is tested on a real PostgreSQL."""

from datetime import date

import pytest

from backend.usage.filters import Filters
from backend.usage.period import DAY_MS, Period, start_of
from backend.usage.repository import (
    BOTH_SUMS,
    ONE,
    both_sums_arguments,
    newest_query,
    oldest_query,
    sums_query,
)

DAY = date(2026, 3, 31)
PERIOD = Period(start_of(DAY), start_of(DAY) + DAY_MS)
EVERYTHING = Filters(
    key_id="k", tag="'; drop table usage_requests; --", endpoints=("/v1/listen",), service="streaming",
    outcome="failed", request_id="r",
)  # fmt: skip


def test_no_value_is_in_a_statements_text() -> None:
    query, *arguments = newest_query("p", PERIOD, EVERYTHING, limit=10, skip=20, behind=(1, "b"))
    assert "drop" not in query
    assert arguments == [
        "p", DAY, DAY, PERIOD.start_ms, PERIOD.end_ms, "k", ["/v1/listen"], "streaming", EVERYTHING.tag, "r", 1, "b",
        10, 20,
    ]  # fmt: skip
    assert all(f"${n}" in query for n in range(1, len(arguments) + 1))
    assert f"${len(arguments) + 1}" not in query


def test_filters_that_were_not_given_are_not_in_the_statement() -> None:
    query, *arguments = newest_query("p", PERIOD, Filters(), limit=10)
    assert "key_id =" not in query
    assert len(arguments) == 7


@pytest.mark.parametrize(
    ("filters", "groups", "table"),
    [
        (Filters(), ("day",), "usage_daily"),
        (Filters(key_id="k", service="streaming", endpoints=("other",)), ("accessor", "endpoint"), "usage_daily"),
        (Filters(tag="t"), ("day",), "usage_requests"),
        (Filters(), ("tag",), "usage_requests"),
        (Filters(outcome="failed"), (), "usage_requests"),
    ],
)
def test_sums_come_from_the_rollups_unless_only_the_requests_hold_them(
    filters: Filters, groups: tuple[str, ...], table: str
) -> None:
    assert f"from {table}" in sums_query("p", PERIOD, filters, groups)[0]


def test_every_statement_is_bound_to_its_project() -> None:
    for query, *arguments in (
        newest_query("p", PERIOD, Filters(), limit=1),
        oldest_query("p", PERIOD, Filters(), limit=1),
        (ONE.sql, "p", "r"),
        sums_query("p", PERIOD, Filters()),
        sums_query("p", PERIOD, Filters(tag="t"), ("tag",)),
        (BOTH_SUMS.sql, *both_sums_arguments("p", DAY)),
    ):
        assert query.count("project_id = $1") == query.count("from usage_")
        assert arguments[0] == "p"
