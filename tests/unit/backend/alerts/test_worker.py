"""When a delivery is attempted again."""

from backend.alerts.worker import JITTER, PAUSES, pause, without_query


def test_pauses_grow_and_fill_a_day() -> None:
    assert list(PAUSES) == sorted(PAUSES)
    assert 20 * 3600 <= sum(PAUSES) <= 24 * 3600
    for attempts, seconds in enumerate(PAUSES, 1):
        found = pause(attempts)
        assert found is not None
        assert seconds * (1 - JITTER) <= found <= seconds * (1 + JITTER)
    assert pause(len(PAUSES) + 1) is None


def test_of_a_url_others_see_no_query() -> None:
    assert without_query("https://example.com/hook?secret=1") == "https://example.com/hook"
