"""The bounds that the promise "keys are back within 5 s" rests on; the work itself is tested with real stores."""

from backend import key_sync


def test_an_emptied_redis_is_noticed_and_a_load_cannot_outlive_its_mark() -> None:
    assert key_sync.LOOK_SECONDS <= 1
    assert key_sync.PASS_SECONDS < key_sync.LOADING_SECONDS
