"""Limits as people type and read them."""

from decimal import Decimal

import pytest

from frontend.limit_fields import FIELDS, PLAN_FIELDS, amount, in_words, values, wanted
from frontend.models import LimitSet


def limits(**some: int) -> LimitSet:
    return LimitSet(**{name: some.get(name) for name, _ in FIELDS.values()})


def test_what_is_typed_comes_back_as_it_is_stored_and_the_other_way_round() -> None:
    typed = {"requests_per_minute": "60", "concurrent_streams": "", "monthly_hours": "0.5", "monthly_dollars": "0.01"}
    stored = wanted(typed)
    assert stored == {
        "requests_per_minute": 60, "concurrent_streams": None, "monthly_audio_seconds": 1800,
        "monthly_budget_micros": 10_000,
    }  # fmt: skip
    assert values(LimitSet(**stored)) == typed
    assert set(wanted(typed, PLAN_FIELDS)) == set(stored) - {"monthly_budget_micros"}


@pytest.mark.parametrize(
    "typed", [{"monthly_dollars": "0.0000001"}, {"concurrent_streams": "1.5"}, {"monthly_hours": "1e3"}]
)
def test_what_is_finer_than_the_unit_or_no_number_is_refused(typed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(typed.values()))):
        wanted(typed)


def test_a_limit_of_nothing_is_said_too() -> None:
    assert in_words(limits(monthly_budget_micros=0, requests_per_minute=7)) == [
        "7 requests per minute",
        "$0.00 per month",
    ]
    assert in_words(limits()) == []


def test_a_number_may_have_commas_between_thousands() -> None:
    assert amount("1,000.5") == Decimal("1000.5")
