"""How long receivers have for a new secret."""

from backend.alerts.service import OVERLAP_SECONDS
from backend.alerts.worker import PAUSES


def test_what_is_on_its_way_is_signed_with_both_secrets_for_most_of_its_time() -> None:
    assert sum(PAUSES) <= OVERLAP_SECONDS
