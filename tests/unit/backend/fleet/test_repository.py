"""The statement stays on the index of requests that have not ended; what it finds is tested with PostgreSQL."""

from backend.fleet.repository import SLOWEST


def test_the_slowest_are_looked_for_among_the_requests_that_have_not_ended() -> None:
    assert "where rank = 0" in SLOWEST.sql
