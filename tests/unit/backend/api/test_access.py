"""Who may do what where."""

import pytest

from aldea.errors import InsufficientPermissions, ProjectNotFound
from backend.api.access import (
    DELETE_PROJECT,
    ROLE_SCOPES,
    SCOPES,
    InProject,
    KeyCaller,
    Operator,
    SessionCaller,
    SignedIn,
    expand,
)

KEY = KeyCaller(sha256="0", key_id="k", project_id="mine", scopes=frozenset({"usage:read"}), user_id="u")
SESSION = SessionCaller(sha256="1", user_id="u", email="u@x", name="u", operator=False, roles={"mine": "member"})


@pytest.mark.parametrize("caller", [KEY, SESSION])
def test_a_project_of_somebody_else_does_not_exist(caller: KeyCaller | SessionCaller) -> None:
    with pytest.raises(ProjectNotFound):
        InProject("usage:read").check_in(caller, "theirs")


@pytest.mark.parametrize("caller", [KEY, SESSION])
def test_in_ones_own_project_the_scope_decides(caller: KeyCaller | SessionCaller) -> None:
    InProject("usage:read").check_in(caller, "mine")
    with pytest.raises(InsufficientPermissions, match="keys:write"):
        InProject("keys:write").check_in(caller, "mine")


def test_a_key_is_no_person_and_no_operator() -> None:
    SignedIn().check(SESSION)
    for access in (SignedIn(), Operator()):
        with pytest.raises(InsufficientPermissions):
            access.check(KEY)


def test_a_higher_role_may_all_that_a_lower_one_may() -> None:
    assert ROLE_SCOPES["member"] < ROLE_SCOPES["admin"] < ROLE_SCOPES["owner"]


def test_a_role_as_a_scope_of_a_key_means_the_contracts_scopes_and_nothing_beyond() -> None:
    assert expand(["usage:read"]) == {"usage:read"}
    assert expand(["owner"]) == SCOPES
    assert DELETE_PROJECT not in expand(["owner", "admin", "member"])


def test_what_only_a_person_may_do_no_key_does_whatever_its_scopes() -> None:
    InProject("usage:read", signed_in=True).check_in(SESSION, "mine")
    with pytest.raises(InsufficientPermissions, match="session"):
        InProject("usage:read", signed_in=True).check_in(KEY, "mine")
    with pytest.raises(ProjectNotFound):
        InProject("usage:read", signed_in=True).check_in(KEY, "theirs")
