"""The endpoint for tokens."""

from backend.api.access import AnyCaller
from backend.tokens.handlers import ENDPOINTS


def test_keys_and_sessions_are_let_in_and_a_body_is_not_needed() -> None:
    [endpoint] = ENDPOINTS
    assert isinstance(endpoint.access, AnyCaller)
    assert endpoint.body_optional
