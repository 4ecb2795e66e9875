"""The sweep's own rhythm; whom it refuses is tested on a real PostgreSQL."""

from backend.credits.enforcement import RETRY_SECONDS, SWEEP_SECONDS


def test_a_sweep_that_failed_is_not_repeated_faster_than_one_that_did_not() -> None:
    assert RETRY_SECONDS >= SWEEP_SECONDS
