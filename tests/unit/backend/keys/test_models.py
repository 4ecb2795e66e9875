"""What can be asked of a new key."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from backend.keys.models import CreateKey

GOOD: dict[str, Any] = {"comment": "robot", "scopes": ["usage:write"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"tags": [""]},
        {"tags": ["x" * 65]},
        {"tags": ["t"] * 17},
        {"tags": ["a\tb"]},
        {"tags": ["a\n"]},
        {"comment": "x" * 201},
        {"comment": "a\0"},
        {"time_to_live_in_seconds": 0},
        {"expiration_date": "2030-01-01T00:00:00"},
    ],
)
def test_what_cannot_be_meant_or_stored_is_refused(changes: dict[str, Any]) -> None:
    CreateKey.model_validate_json(json.dumps(GOOD))
    with pytest.raises(ValidationError):
        CreateKey.model_validate_json(json.dumps(GOOD | changes))
