"""The benchmark of the time to first words: what it says of the differences between two clocks."""

from benchmarks.first_words import figures


def test_differences_are_summed_up_with_their_extremes() -> None:
    found = figures([5.0, -0.25, *[1.0] * 97, 2.0])
    assert found == {"p50": 1.0, "p95": 1.0, "least": -0.25, "most": 5.0}
