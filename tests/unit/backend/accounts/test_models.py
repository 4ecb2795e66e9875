"""What can be an account."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from backend.accounts.models import CreateAccount, SignIn

# What takes part in names and shows nothing by itself: spaces, fillers, joiners, selectors, tags.
BLANKS = (
    "\u200b\ufeff\u00ad\u034f\u115f\u1160\u17b4\u180e\u200c\u200d\u2060\u2064\u2800\u3000\u3164\ufe0f\uffa0\U000e0041"
)
# What is refused wherever a text is one line.
UNREADABLE = "\u202e\u2066\u061c\u200e\u206f\x85\x00\ufffe"
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
        *({"name": f"Ann{bad}"} for bad in UNREADABLE),
        *({"name": f"\u200d{blank}\ufe0f "} for blank in BLANKS),
        *({"email": f"an{bad}n@example.com"} for bad in BLANKS + UNREADABLE + "\xa0"),
        {"email": "ann@example\u200b.com"},
        {"project_name": "Call\tcentre"},
        {"project_name": ""},
    ],
)
def test_what_cannot_be_an_account_is_refused(changes: dict[str, Any]) -> None:
    CreateAccount.model_validate_json(json.dumps(GOOD))
    with pytest.raises(ValidationError):
        CreateAccount.model_validate_json(json.dumps(GOOD | changes))


@pytest.mark.parametrize(
    "name",
    [
        "Ann",
        "José Ñandú",
        "李小龍",
        "עברית",
        "👩‍💻 Ann",
        "  Ann  ",
        "O'Brien-Smith, Jr.",
        "\u0645\u06cc\u200c\u062e\u0648\u0627",
        "🏴\U000e0067\U000e0062\U000e007f",
    ],
)
def test_a_name_may_be_of_any_alphabet(name: str) -> None:
    assert CreateAccount.model_validate_json(json.dumps(GOOD | {"name": name})).name == name


def test_a_password_of_any_length_may_be_tried_but_none_beyond_what_can_be_one() -> None:
    assert SignIn(email="a@b", password="").password == ""
    with pytest.raises(ValidationError):
        SignIn(email="a@b", password="x" * 201)


@pytest.mark.parametrize(
    "email", ["x@y", "müller@exämple.de", "o'hara+tag@sub.example.co.uk", "a/b?c#d%2f@e.org", "李@例え.jp"]
)
def test_an_address_may_be_of_any_alphabet(email: str) -> None:
    assert CreateAccount.model_validate_json(json.dumps(GOOD | {"email": email})).email == email


def test_an_account_of_before_the_rule_for_addresses_can_still_be_signed_in_to() -> None:
    assert SignIn(email="an\u200bn@example.com", password="").email == "an\u200bn@example.com"
