"""The endpoint for tokens."""

from backend.api.access import AnyCaller
from backend.tokens.handlers import ENDPOINTS


def test_keys_and_sessions_are_let_in_and_a_body_is_not_needed() -> None:
    grant, details = ENDPOINTS
    assert isinstance(grant.access, AnyCaller)
    assert isinstance(details.access, AnyCaller)
    assert grant.body_optional
