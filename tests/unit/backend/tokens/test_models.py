"""How long a token may live."""

import pytest
from pydantic import ValidationError

from backend.tokens.models import GrantToken


def test_thirty_seconds_unless_the_request_says_otherwise() -> None:
    assert GrantToken.model_validate_json("{}").ttl_seconds == 30
    assert GrantToken.model_validate_json('{"ttl_seconds": 3600}').ttl_seconds == 3600
    assert GrantToken.model_validate_json('{"ttl_seconds": 1.5}').ttl_seconds == 1.5


@pytest.mark.parametrize("requested", ["0", "0.5", "3601", "-1", '"30"', "NaN", "Infinity", "1e400", "true"])
def test_between_a_second_and_an_hour(requested: str) -> None:
    with pytest.raises(ValidationError):
        GrantToken.model_validate_json(f'{{"ttl_seconds": {requested}}}')
