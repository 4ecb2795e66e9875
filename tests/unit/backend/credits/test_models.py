"""Which credits can be granted."""

import pytest
from pydantic import ValidationError

from backend.credits.models import MOST_MICROS, GrantCredit


@pytest.mark.parametrize("amount", [1, -1, MOST_MICROS, -MOST_MICROS])
def test_a_credit_gives_or_takes_back(amount: int) -> None:
    assert GrantCredit.model_validate({"amount_micros": amount, "note": "Invoice 7"}).amount_micros == amount


@pytest.mark.parametrize("amount", [0, MOST_MICROS + 1, -MOST_MICROS - 1, 0.5, "5", None])
def test_an_amount_that_is_none_is_refused(amount: object) -> None:
    with pytest.raises(ValidationError, match="amount_micros"):
        GrantCredit.model_validate({"amount_micros": amount, "note": "Invoice 7"})


@pytest.mark.parametrize("note", ["", "  ", "a\x00b", "x" * 201])
def test_a_note_says_something(note: str) -> None:
    with pytest.raises(ValidationError, match="note"):
        GrantCredit.model_validate({"amount_micros": 1, "note": note})
