"""What is an event, and how often."""

from datetime import date
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from backend.alerts.events import MAILED, PERCENTS, TYPES, Fallen, Type, Used, of_balance, of_change, of_use

MONTH = date(2026, 11, 1)


def test_each_type_is_listed_once_and_those_that_are_mailed_are_types() -> None:
    assert list(TYPES) == list(get_args(Type))
    assert set(TYPES) >= MAILED


def test_a_change_that_nobody_is_notified_of_is_no_event() -> None:
    assert of_change("project.rename", "p", "p", {}) is None
    assert of_change("key.create", "k", None, {}) is None


def test_an_event_of_a_change_has_what_it_is_about_and_no_empty_detail() -> None:
    found = of_change("key.create", "k", "p", {"comment": "c", "scopes": ["usage:write"], "expires": None, "other": 1})
    assert found is not None
    assert (found.type, found.project_id, found.dedup) == ("key.created", "p", None)
    assert dict(found.data) == {"key_id": "k", "comment": "c", "scopes": ["usage:write"]}


@given(st.integers(0, 10**13), st.integers(0, 10**13))
def test_exactly_the_parts_of_a_limit_that_are_used_up_are_events(allowed: int, used: int) -> None:
    found = of_use(Used("quota.reached", "project", "p", "p", "a", allowed, used), MONTH)
    percents = [event.data["percent"] for event in found]
    assert percents == [percent for percent in PERCENTS if allowed and used / allowed >= percent / 100]
    assert len({event.dedup for event in found}) == len(found)


def test_what_happens_once_is_named_by_subject_part_limit_and_month() -> None:
    def once(month: date = MONTH, **changes: object) -> set[str | None]:
        values = {"type": "budget.reached", "subject": "key", "subject_id": "k", "project_id": "p", "account_id": "a"}
        used = Used(**{**values, "allowed": 10, "used": 10, **changes})  # type: ignore[arg-type]
        return {event.dedup for event in of_use(used, month)}

    assert once() == once(used=11)
    others = [once(date(2026, 12, 1)), once(subject_id="l"), once(allowed=9), once(type="quota.reached")]
    assert all(not once() & other for other in others)


def test_a_balance_is_low_or_spent_once_for_each_fall() -> None:
    low = of_balance(Fallen("a", 5000, 4999, spent=False, times=1))
    spent = of_balance(Fallen("a", 0, -1, spent=True, times=1))
    again = of_balance(Fallen("a", 5000, 4000, spent=False, times=2))
    assert (low.type, spent.type) == ("balance.low", "balance.spent")
    assert len({low.dedup, spent.dedup, again.dedup}) == 3
    assert low.dedup == of_balance(Fallen("a", 5000, 1, spent=False, times=1)).dedup
