"""Which prices can be added."""

from typing import Any

import pytest
from pydantic import ValidationError

from backend.prices.models import MOST_MICROS_PER_HOUR, AddPrice

GOOD: dict[str, Any] = {
    "plan": "free", "service": "streaming", "micros_per_hour": 360_000, "effective_from": "2027-01-01"
}  # fmt: skip


@pytest.mark.parametrize("micros", [0, 1, MOST_MICROS_PER_HOUR])
def test_a_price_is_whole_micro_dollars(micros: int) -> None:
    assert AddPrice.model_validate({**GOOD, "micros_per_hour": micros}).micros_per_hour == micros


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("micros_per_hour", -1), ("micros_per_hour", MOST_MICROS_PER_HOUR + 1), ("micros_per_hour", 0.5),
        ("micros_per_hour", "5"), ("micros_per_hour", None), ("micros_per_hour", True), ("plan", "gold"),
        ("plan", None), ("service", "sync"), ("effective_from", "tomorrow"), ("effective_from", "1999-01-01"),
        ("effective_from", None),
    ],
)  # fmt: skip
def test_anything_else_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        AddPrice.model_validate({**GOOD, field: value})
