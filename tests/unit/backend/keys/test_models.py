"""What can be requested of a new key."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from backend.keys.models import CreateKey

GOOD: dict[str, Any] = {"comment": "robot", "scopes": ["usage:write"]}
NO_EXPIRIES: list[Any] = [
    "2030-01-01T00:00:00", "2030-01-01", "2030-W01-1T00:00:00Z", "2030-001T00:00:00Z", "20300101T000000Z",
    "1893456000", "1893456000000", "-1", "1e10", 1893456000, 1893456000.5, True, [], {}, "", "null",
    "tomorrow",
    "2030-01-01_00:00:00Z", "2030-01-01T00:00:00,5Z", "2030-01-01T00:00:00\u221205:00",
    " 2030-01-01T00:00:00Z",
    "2030-01-01T00:00:00Z ", "2030-01-01T00:00:00Z\n", "2030-01-01T00:00:00 Z", "2030-01-01T00:00:00+24:00",
    "2030-01-01T24:00:00Z", "2030-02-30T00:00:00Z", "2030-12-31T23:59:60Z", "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "10000-01-01T00:00:00Z",
    "+10000-01-01T00:00:00Z", "\uff12\uff10\uff13\uff10-01-01T00:00:00Z",
    "2030-01-01T00:00:00[Europe/Berlin]",
]  # fmt: skip


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
        {"comment": "a\nb"},
        {"comment": "a\u202eb"},
        {"comment": " "},
        {"comment": "\u200b\u00ad \u3164"},
        {"time_to_live_in_seconds": 0},
        *({"expiration_date": given} for given in NO_EXPIRIES),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_or_stored_is_refused(changes: dict[str, Any]) -> None:
    CreateKey.model_validate_json(json.dumps(GOOD))
    with pytest.raises(ValidationError):
        CreateKey.model_validate_json(json.dumps(GOOD | changes))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00+00:00"),
        ("2030-01-01t00:00:00z", "2030-01-01T00:00:00+00:00"),
        ("2030-01-01 00:00:00.5Z", "2030-01-01T00:00:00.500000+00:00"),
        ("2030-01-01T00:00:00.123456789Z", "2030-01-01T00:00:00.123456+00:00"),
        ("2030-01-01T00:00+14:00", "2029-12-31T10:00:00+00:00"),
        ("2030-01-01T00:00:00-12:00", "2030-01-01T12:00:00+00:00"),
        ("2030-01-01T00:00:00+2359", "2029-12-31T00:01:00+00:00"),
        ("2030-03-31T02:30:00+01:00", "2030-03-31T01:30:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59+00:00"),
        ("9999-12-31T23:59:59+14:00", "9999-12-31T09:59:59+00:00"),
    ],
)
def test_an_expiry_is_a_time_of_rfc_3339_in_any_zone(given: str, expected: str) -> None:
    made = CreateKey.model_validate_json(json.dumps(GOOD | {"expiration_date": given}))
    assert made.expiration_date is not None
    assert made.expiration_date.isoformat() == expected
