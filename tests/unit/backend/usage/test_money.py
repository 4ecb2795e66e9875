"""Prices and costs: whole numbers, rounded once."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from backend.usage.money import cost_micros, dollars, hours, price_micros


def test_an_hour_costs_its_price_and_a_millisecond_its_part() -> None:
    price = price_micros(Decimal("0.36"))
    assert price == 360_000
    assert cost_micros(3_600_000, price) == 360_000
    assert cost_micros(10, price) == 1
    assert [cost_micros(ms, price) for ms in (0, 4, 5, 14, 15)] == [0, 0, 1, 1, 2]


@given(st.integers(0, 10**15), st.integers(0, 10**9))
def test_a_cost_is_never_further_from_the_truth_than_half_a_millionth(audio_ms: int, price: int) -> None:
    assert abs(cost_micros(audio_ms, price) - Fraction(audio_ms * price, 3_600_000)) <= Fraction(1, 2)


@given(st.integers(-(10**15), 10**15))
def test_dollars_are_exact_to_the_sixth_decimal(micros: int) -> None:
    assert round(dollars(micros) * 1_000_000) == micros


@given(st.integers(0, 10**14))
def test_hours_are_exact_to_the_millisecond(audio_ms: int) -> None:
    assert round(hours(audio_ms) * 3_600_000) == audio_ms
