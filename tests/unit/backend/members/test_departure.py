"""What a departure leaves of keys, as far as it needs no database."""

import pytest

from backend.api.access import ROLE_SCOPES, SCOPES, Role, lent
from backend.members.departure import exceeds, kept_scopes

WRITES = {"keys:write", "members:write", "project:write"}


@pytest.mark.parametrize("scopes", [["admin"], ["owner"], sorted(SCOPES), ["usage:write", "members:write"]])
def test_a_kept_key_changes_nothing_any_more_and_still_transcribes(scopes: list[str]) -> None:
    kept = kept_scopes(scopes)
    assert not WRITES & set(kept)
    assert "usage:write" in kept


def test_a_key_that_only_manages_is_not_worth_keeping() -> None:
    assert kept_scopes(sorted(WRITES)) == []


@pytest.mark.parametrize(
    ("scopes", "role", "more"),
    [
        (["usage:write"], None, True),
        (["usage:write"], "member", False),
        (["member"], "member", False),
        (["usage:write", "keys:write"], "member", True),
        (["admin"], "member", True),
        (["admin"], "admin", False),
        (sorted(SCOPES), "owner", False),
    ],
)
def test_a_key_exceeds_a_role_by_any_scope_and_no_membership_by_being_there(
    scopes: list[str], role: Role | None, more: bool
) -> None:
    assert exceeds(scopes, role) == more


@pytest.mark.parametrize("role", ["owner", "admin", "member", None])
def test_a_key_may_do_what_it_was_given_and_its_maker_still_may(role: Role | None) -> None:
    assert lent(["admin"], role) == SCOPES & ROLE_SCOPES[role or "member"]
    assert lent(["usage:write"], role) == {"usage:write"}
    assert ("members:write" in lent(["members:write"], role)) == (role in {"owner", "admin"})
