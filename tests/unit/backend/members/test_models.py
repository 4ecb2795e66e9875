"""Requests of members and invites."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from backend.members.models import ChangeScope, CreateInvite


@pytest.mark.parametrize("scope", ["root", "OWNER", "", "keys:read", None])
def test_a_role_is_one_of_three(scope: Any) -> None:
    assert ChangeScope.model_validate_json('{"scope": "owner"}').scope == "owner"
    with pytest.raises(ValidationError):
        ChangeScope.model_validate_json(json.dumps({"scope": scope}))


def test_an_invite_needs_an_address() -> None:
    with pytest.raises(ValidationError):
        CreateInvite.model_validate_json('{"email": "ann", "scope": "member"}')
