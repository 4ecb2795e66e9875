"""Pairs: the ratio of two variants that were measured in turns, and how sure it is."""

from benchmarks.pairs import compared, in_turns


def test_a_ratio_of_costs_is_that_of_the_rates() -> None:
    ratio = compared([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 0.5, 0.5)


def test_what_disturbs_both_of_a_pair_disturbs_no_ratio() -> None:
    ours, others = [10.0, 30.0, 20.0, 50.0], [9.5, 28.5, 19.0, 47.5]
    assert abs(compared(ours, others).median - 0.95) < 1e-9


def test_the_interval_leaves_pairs_out_that_only_one_of_both_was_disturbed_in() -> None:
    ours = [10.0] * 38 + [100.0, 1000.0]
    others = [9.0, 11.0] * 20
    ratio = compared(ours, others)
    assert 0.9 <= ratio.low <= ratio.median <= ratio.high <= 1.1


def test_few_pairs_have_an_interval_of_all_of_them() -> None:
    ratio = compared([1.0, 1.0], [0.5, 2.0])
    assert (ratio.low, ratio.high) == (0.5, 2.0)


def test_variants_take_turns_and_who_begins_changes() -> None:
    called: list[str] = []

    def turn(name: str, milliseconds: int) -> float:
        called.append(f"{name}{milliseconds}")
        return float(len(called))

    found = in_turns([lambda ms: turn("a", ms), lambda ms: turn("b", ms)], 2, 5)
    assert called == ["a5", "b5", "b5", "a5", "a5", "b5"]
    assert found == [[4.0, 5.0], [3.0, 6.0]]
