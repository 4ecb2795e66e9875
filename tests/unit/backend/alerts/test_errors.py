"""Every error of webhooks has one of the contract."""

from aldea.errors import ApiError
from backend.alerts.errors import ERRORS


def test_every_error_is_one_of_the_contracts() -> None:
    assert all(issubclass(kind, ApiError) for kind in ERRORS.values())
