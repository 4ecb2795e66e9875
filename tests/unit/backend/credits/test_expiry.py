"""What is left of a grant when it ends: the soonest to end is spent first, and nothing is taken back twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backend.credits.expiry import Granted, due

START = datetime(2026, 1, 1, tzinfo=UTC)


def grant(name: str, amount: int, day: int | None = None, *, expired: bool = False) -> Granted:
    return Granted(name, amount, None if day is None else START + timedelta(days=day), expired)


def test_the_soonest_to_end_is_spent_first() -> None:
    grants = [grant("never", 100), grant("late", 100, 9, expired=True), grant("soon", 100, 1, expired=True)]
    assert due(grants, 0) == {"soon": 100, "late": 100}
    assert due(grants, 130) == {"soon": 0, "late": 70}
    assert due(grants, 1000) == {"soon": 0, "late": 0}


def test_what_has_not_ended_is_left_alone_and_spent_after_what_has() -> None:
    assert due([grant("later", 100, 5), grant("ended", 50, 1, expired=True)], 20) == {"ended": 30}


def test_charges_that_come_after_a_grant_has_ended_are_met_by_those_behind_it() -> None:
    swept = replace(grant("swept", 100, 1, expired=True), taken_back=60)
    next_one = grant("next", 100, 2, expired=True)
    assert due([swept, next_one], 40) == {"next": 100}
    assert due([swept, next_one], 75) == {"next": 65}


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.none() | st.integers(0, 5), st.booleans()), max_size=8),
    st.integers(0, 6000),
    st.lists(st.integers(0, 500), max_size=5),
)
def test_however_often_it_is_swept_each_ended_grant_gives_back_what_was_not_used_of_it(
    drawn: list[tuple[int, int | None, bool]], consumed: int, later: list[int]
) -> None:
    grants = [
        grant(str(number), amount, day, expired=day is not None and ended)
        for number, (amount, day, ended) in enumerate(drawn)
    ]
    total = sum(one.amount_micros for one in grants)
    for more in (0, *later):
        consumed += more
        left = due(grants, consumed)
        assert left.keys() == {one.entry_id for one in grants if one.expired and one.taken_back is None}
        assert all(0 <= left[one.entry_id] <= one.amount_micros for one in grants if one.entry_id in left)
        # Nobody loses money that charges needed.
        assert sum(left.values()) <= max(0, total - consumed)
        total -= sum(left.values())
        grants = [replace(one, taken_back=left.get(one.entry_id, one.taken_back)) for one in grants]
    assert due(grants, consumed) == {}
