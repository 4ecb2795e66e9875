"""What a key may be found by."""

import pytest
from pydantic import ValidationError

from backend.fleet.models import KeysQuery


def test_a_key_is_found_by_its_last_four_characters() -> None:
    assert KeysQuery(last4="x7Qz").last4 == "x7Qz"


@pytest.mark.parametrize("bad", ["", "x7Q", "x7Qz9", "x7 z", "x%_z", "\u0441777", "x7Q\n"])
def test_what_is_no_end_of_a_key_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        KeysQuery(last4=bad)
