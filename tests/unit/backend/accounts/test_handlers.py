"""Who may reach which of the accounts' endpoints."""

from backend.accounts.handlers import ENDPOINTS
from backend.api.access import Operator, Public, SignedIn


def test_strangers_sign_up_sign_in_and_reset_and_only_operators_issue_resets() -> None:
    guarded = {(endpoint.method, endpoint.path): type(endpoint.access) for endpoint in ENDPOINTS}
    assert guarded == {
        ("POST", "/v1/accounts"): Public,
        ("POST", "/v1/sessions"): Public,
        ("DELETE", "/v1/sessions/current"): SignedIn,
        ("GET", "/v1/me"): SignedIn,
        ("PATCH", "/v1/me"): SignedIn,
        ("DELETE", "/v1/me"): SignedIn,
        ("PUT", "/v1/me/password"): SignedIn,
        ("POST", "/v1/password-resets/use"): Public,
        ("POST", "/v1/operator/password-resets"): Operator,
    }


def test_everything_that_takes_a_password_or_a_token_is_throttled_and_says_so() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.body is not None and not isinstance(endpoint.access, Operator):
            assert 429 in {error.status for error in endpoint.refuses}, endpoint.path
