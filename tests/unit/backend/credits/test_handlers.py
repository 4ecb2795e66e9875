"""Who may call the credits' endpoints."""

from backend.api.access import Operator
from backend.credits.handlers import ENDPOINTS


def test_credits_are_for_operators_and_their_paths_say_so() -> None:
    for endpoint in ENDPOINTS:
        assert isinstance(endpoint.access, Operator)
        assert endpoint.path.startswith("/v1/operator/")


def test_a_credit_is_put_under_an_id_so_that_a_repeated_request_counts_once() -> None:
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.method != "GET"] == [
        "/v1/operator/projects/{project_id}/credits/{credit_id}",
        "/v1/operator/projects/{project_id}/plan",
    ]
