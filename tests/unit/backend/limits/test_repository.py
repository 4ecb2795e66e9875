"""Limits by their names; the statements are tested on a real PostgreSQL."""

from backend.limits.repository import UNLIMITED, Limits, OfSomebody


def test_a_limit_of_nothing_is_a_limit() -> None:
    assert not UNLIMITED.any
    assert Limits(monthly_budget_micros=0).any


def test_somebodys_limits_are_the_same_without_the_id() -> None:
    assert OfSomebody(1, 2, 3, 4, "k").limits == Limits(1, 2, 3, 4)
