"""Names of scopes: of all that the API has, each another."""

from backend.api.access import SCOPES as API_SCOPES
from frontend.scopes import SCOPE_NAMES, named


def test_every_scope_of_the_api_has_a_name_of_its_own() -> None:
    assert {*SCOPE_NAMES} == {*API_SCOPES}
    assert len({*SCOPE_NAMES.values()}) == len(SCOPE_NAMES)


def test_scopes_are_listed_by_name() -> None:
    assert named(["usage:write", "keys:read", "odd"]) == "Transcribe, List keys, odd"
