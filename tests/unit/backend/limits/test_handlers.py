"""The limits' endpoints as data; they are tested on a real backend."""

from backend.api.access import InProject, Operator
from backend.limits.handlers import ENDPOINTS


def test_only_operators_change_what_an_account_may() -> None:
    for endpoint in ENDPOINTS:
        operated = endpoint.path.startswith("/v1/operator/")
        assert isinstance(endpoint.access, Operator if operated else InProject), endpoint.path
