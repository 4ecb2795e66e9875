"""Where a project may be moved to."""

import pytest
from pydantic import ValidationError

from backend.moves.models import MoveProject


def test_an_account_is_named_by_its_id() -> None:
    text = "0190a5e2-0000-7000-8000-00000000000a"
    assert str(MoveProject.model_validate_json(f'{{"account_id": "{text}"}}').account_id) == text


@pytest.mark.parametrize("bad", ['""', '"x"', "1", "null", "[]"])
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        MoveProject.model_validate_json(f'{{"account_id": {bad}}}')
