"""Of two limits the smaller one holds."""

import pytest

from backend.limits.errors import AbovePlan
from backend.limits.repository import Limits
from backend.limits.service import _check_plan, _differences, narrower


def test_of_two_limits_the_smaller_holds_and_none_is_no_limit() -> None:
    assert narrower(Limits(600, None, 0), Limits(60, 5, 7, 9)) == Limits(60, 5, 0, 9)
    assert narrower(Limits(), Limits()) == Limits()


def test_an_owners_limit_is_at_or_below_the_plans() -> None:
    plan = Limits(600, None, 3600)
    _check_plan(plan, {"requests_per_minute": 600, "concurrent_streams": 10**6, "monthly_audio_seconds": None})
    with pytest.raises(AbovePlan, match=r"got 601; allowed: up to the plan's 600"):
        _check_plan(plan, {"requests_per_minute": 601})


def test_only_what_differs_is_changed() -> None:
    assert _differences(Limits(1, 2), {"requests_per_minute": 1, "concurrent_streams": None}) == (
        {"concurrent_streams": None}, {"concurrent_streams": 2},
    )  # fmt: skip
