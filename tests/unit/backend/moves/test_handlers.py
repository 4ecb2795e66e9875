"""The endpoint as data; it is tested on a real backend."""

from backend.api.access import Operator
from backend.moves.handlers import ENDPOINTS


def test_only_operators_move_projects() -> None:
    assert all(isinstance(endpoint.access, Operator) for endpoint in ENDPOINTS)
