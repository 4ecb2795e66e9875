"""How a key's propagation is told."""

from backend.keys.handlers import _propagation


def test_a_change_that_redis_does_not_know_yet_is_called_pending() -> None:
    assert _propagation(propagated=True) == "complete"
    assert _propagation(propagated=False) == "pending"
