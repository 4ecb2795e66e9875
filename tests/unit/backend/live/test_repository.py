"""The statements stay on the index of requests that have not ended; what they find is tested with PostgreSQL."""

from backend.live.repository import LANES, RUNNING


def test_both_ask_for_what_has_not_ended_in_the_indexs_own_words() -> None:
    for statement in (LANES, RUNNING):
        assert "where rank = 0" in statement
