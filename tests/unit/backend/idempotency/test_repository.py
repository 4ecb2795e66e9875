"""The keys' table: an attempt is given far longer than a handler may run."""

from backend.api.endpoint import HANDLER_SECONDS
from backend.idempotency.repository import ATTEMPT_SECONDS


def test_no_handler_is_under_way_when_its_key_is_given_to_another() -> None:
    assert ATTEMPT_SECONDS >= 2 * HANDLER_SECONDS
