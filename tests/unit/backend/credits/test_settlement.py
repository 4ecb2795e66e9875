"""When the pipeline is calm enough to compare; what is lowered then is tested on real stores."""

from backend.credits.settlement import LOOK_SECONDS, SETTLED_SECONDS, YOUNG_MS


def test_the_pipeline_is_looked_at_often_while_it_settles_and_a_reading_is_merged_long_before() -> None:
    assert SETTLED_SECONDS >= 5 * LOOK_SECONDS
    assert SETTLED_SECONDS * 1000 >= 5 * YOUNG_MS
