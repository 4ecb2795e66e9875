import math
from dataclasses import replace

import pytest

from aldea.load.tally import Tally
from aldea.load.verdict import PRECISION, Objectives, Search, judge
from aldea.objectives import FINAL_LAG, FIRST_WORDS, HANDSHAKES

OBJECTIVES = Objectives(
    replace(HANDSHAKES, target=0.99), replace(FIRST_WORDS, target=0.9, seconds=1.0), replace(FINAL_LAG, target=0.9)
)


def tally(attempts: int, failed: int, fast: int, slow: int, wordless: int = 0) -> Tally:
    made = Tally()
    made.attempts = attempts
    for _ in range(failed):
        made.fail("status 503")
    for seconds, count in ((0.5, fast), (2.0, slow), (math.inf, wordless)):
        for _ in range(count):
            made.first_words.add(seconds)
    made.final_lag.add(0.1)
    return made


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        (tally(100, 1, 90, 10), [True, True, True]),
        (tally(100, 2, 100, 0), [False, True, True]),
        (tally(100, 0, 89, 11), [True, False, True]),
        (tally(100, 0, 89, 0, wordless=11), [True, False, True]),
        (Tally(), [False, False, False]),
    ],
)
def test_each_objective_is_judged_by_its_own_share(seen: Tally, kept: list[bool]) -> None:
    assert [each.kept for each in judge(seen, OBJECTIVES)] == kept


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 25, 32, 33, 63, 100, 777, 1999])
def test_the_search_finds_a_known_limit_to_its_precision(limit: int) -> None:
    search = Search(2000)
    while (load := search.next) is not None:
        search.judged(load, carried=load <= limit)
    assert search.refused is not None
    assert search.carried <= limit < search.refused
    assert limit - search.carried <= max(0, PRECISION * limit)


def test_a_load_that_is_carried_to_the_end_has_no_limit() -> None:
    search = Search(10)
    tried = []
    while (load := search.next) is not None:
        tried.append(load)
        search.judged(load, carried=True)
    assert tried == [1, 2, 4, 8, 10]
    assert (search.carried, search.refused) == (10, None)
