"""A member as the public API shows one."""

from typing import Any

from backend.api.access import DELETE_PROJECT, READ_AUDIT, SCOPES, Role
from backend.members.handlers import _member
from backend.members.repository import MemberRow


def shown(name: str, role: Role) -> Any:
    return _member(MemberRow("u", "e@x", name, role))


def test_a_name_is_split_at_its_first_space() -> None:
    assert (shown("Ann van Dyke", "member").first_name, shown("Ann van Dyke", "member").last_name) == (
        "Ann",
        "van Dyke",
    )
    assert (shown("Ann", "member").first_name, shown("Ann", "member").last_name) == ("Ann", "")


def test_scopes_are_those_of_the_role_in_the_contracts_words() -> None:
    assert "keys:write" not in shown("A", "member").scopes
    assert shown("A", "owner").scopes == sorted(SCOPES)
    assert not {DELETE_PROJECT, READ_AUDIT} & set(shown("A", "owner").scopes)
