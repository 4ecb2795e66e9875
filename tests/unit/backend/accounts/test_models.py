"""What can be an account."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from backend.accounts.models import CreateAccount, SignIn

GOOD: dict[str, Any] = {"email": "ann@example.com", "password": "twelve chars", "name": "Ann Doe"}


@pytest.mark.parametrize(
    "changes",
    [
        {"email": "ann"},
        {"email": "@x"},
        {"email": "a b@example.com"},
        {"email": "ann@example.com\n"},
        {"email": "ann\0@example.com"},
        {"email": "a@" + "x" * 253},
        {"password": "eleven char"},
        {"password": "x" * 201},
        {"password": 123456789012},
        {"name": "  "},
        {"name": ""},
        {"name": "\x7f"},
        {"name": "Ann\nDoe"},
        {"name": "Ann\u202eeoD"},
        {"name": "\u200b\ufeff"},
        {"project_name": "Call\tcentre"},
        {"project_name": ""},
    ],
)
def test_what_cannot_be_an_account_is_refused(changes: dict[str, Any]) -> None:
    CreateAccount.model_validate_json(json.dumps(GOOD))
    with pytest.raises(ValidationError):
        CreateAccount.model_validate_json(json.dumps(GOOD | changes))


@pytest.mark.parametrize("name", ["Ann", "José Ñandú", "李小龍", "עברית", "👩‍💻 Ann", "  Ann  ", "O'Brien-Smith, Jr."])
def test_a_name_may_be_of_any_alphabet(name: str) -> None:
    assert CreateAccount.model_validate_json(json.dumps(GOOD | {"name": name})).name == name


def test_a_password_of_any_length_may_be_tried_but_none_beyond_what_can_be_one() -> None:
    assert SignIn(email="a@b", password="").password == ""
    with pytest.raises(ValidationError):
        SignIn(email="a@b", password="x" * 201)
