"""The endpoints as data; they are tested on a real backend."""

from backend.api.access import Operator
from backend.fleet.handlers import ENDPOINTS


def test_only_operators_look_and_nothing_is_changed() -> None:
    assert all(isinstance(endpoint.access, Operator) and endpoint.method == "GET" for endpoint in ENDPOINTS)
