import pytest

from aldea.money import usd


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (-6490, "-0.00649"),
        (5_000_000, "5.00"),
        (-12_340_000, "-12.34"),
        (123_456_789_100_000, "123456789.10"),
    ],
)
def test_an_amount_is_exact_and_has_two_decimals_at_least(micros: int, text: str) -> None:
    assert usd(micros) == text
