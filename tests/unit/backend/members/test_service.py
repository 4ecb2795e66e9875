"""Who may give and take which role."""

import pytest

from backend.api.access import SCOPES, KeyCaller, Role, SessionCaller
from backend.members.errors import RoleTooHigh
from backend.members.service import _check_roles


def session(role: Role) -> SessionCaller:
    return SessionCaller(sha256="0", user_id="u", email="e", name="n", operator=True, roles={"p": role})


def key(*scopes: str) -> KeyCaller:
    return KeyCaller(sha256="0", key_id="k", project_id="p", scopes=frozenset(scopes), user_id=None)


def test_nobody_gives_or_takes_a_role_above_their_own() -> None:
    _check_roles(session("owner"), "p", "owner", "admin", "member")
    _check_roles(session("admin"), "p", "admin", "member")
    _check_roles(key(*SCOPES), "p", "admin", "member")
    for caller in (session("admin"), key(*SCOPES)):
        with pytest.raises(RoleTooHigh, match="owner"):
            _check_roles(caller, "p", "member", "owner")


def test_a_key_with_the_scope_for_members_alone_makes_nobody_more_than_itself() -> None:
    with pytest.raises(RoleTooHigh):
        _check_roles(key("members:write", "members:read"), "p", "member")


def test_a_role_elsewhere_counts_for_nothing() -> None:
    with pytest.raises(RoleTooHigh):
        _check_roles(session("owner"), "other", "member")
