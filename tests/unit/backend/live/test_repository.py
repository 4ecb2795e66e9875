"""The statements stay on the index of requests that have not ended; what they find is tested with PostgreSQL."""

from backend.live.repository import LANES, RUNNING


def test_both_queries_use_the_condition_of_the_index_on_open_requests() -> None:
    for statement in (LANES, RUNNING):
        assert "where rank = 0" in statement.sql
