"""The harness' judgement: every kind of wrong bill is found, and a right one is not complained of."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from aldea.usage.reading import Rank
from tests.chaos.book import SETTLED_SECONDS, Book, Driven
from tests.chaos.verdict import Row, Verdict, judge
from tests.readings import reading
from ws_proxy.placement import MOST_IN_A_MINUTE


def book(**changes: Any) -> Book:
    """One stream of ten seconds that ended cleanly."""
    found = Book()
    values: dict[str, Any] = {
        "tag": "a",
        "kind": "stream",
        "proxy": "ws_proxy-1",
        "opened": 100.0,
        "length_ms": 10_000,
        "sent_ms": 10_000,
        "reported_ms": 10_000,
        "outcome": "clean",
        **changes,
    }
    one = Driven(**values)
    found.driven[one.tag] = one
    return found


def row(audio_ms: int, rank: int = 2, tag: str = "a", seq: int = 5) -> Row:
    return Row(tag=tag, request_id=f"id-{audio_ms}", rank=rank, seq=seq, audio_ms=audio_ms)


def judged(found: Book, rows: Sequence[Row], daily_ms: int | None = None, **changes: Any) -> Verdict:
    total = sum(one.audio_ms for one in rows) if daily_ms is None else daily_ms
    return judge(found, rows, **{"daily_ms": total, "dead_letters": 0, "differences": (), **changes})


def test_a_clean_request_that_is_billed_to_the_millisecond_is_right() -> None:
    verdict = judged(book(), [row(10_000)])
    assert verdict.failures == []
    assert verdict.total.billed_ms == verdict.total.sent_ms == 10_000


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([row(10_001)], "1 ms too much"),
        ([row(9_999)], "1 ms too little"),
        ([], "10000 ms too little"),
        ([row(10_000), row(0)], "2 rows"),
        ([row(10_000), row(10_000)], "10000 ms too much"),
        ([row(10_000, rank=0)], "still open"),
        ([row(10_000, rank=1)], "its row is not final"),
        ([row(10_000), row(7, tag="b")], "nobody drove it"),
    ],
)
def test_every_kind_of_wrong_bill_is_found(rows: list[Row], complaint: str) -> None:
    [failure, *_] = judged(book(), rows).failures
    assert complaint in failure


def test_a_rollup_that_says_something_else_a_dead_letter_and_a_difference_are_found() -> None:
    verdict = judged(book(), [row(10_000)], daily_ms=9_999, dead_letters=1, differences=["one"])
    assert len(verdict.failures) == 3


def died(checkpoint_ms: int, **changes: Any) -> Book:
    """A stream whose proxy was killed after a checkpoint."""
    found = book(outcome="broken", **changes)
    found.saw(reading(tags=("a",), seq=3, audio_ms=checkpoint_ms), at=101.0)
    found.killed("ws_proxy-1", at=102.0)
    return found


@pytest.mark.parametrize(("billed_ms", "wrong"), [(3_999, True), (4_000, False), (10_000, False), (10_001, True)])
def test_a_stream_whose_proxy_was_killed_is_billed_between_its_checkpoint_and_what_it_sent(
    billed_ms: int, wrong: bool
) -> None:
    assert bool(judged(died(4_000), [row(billed_ms, rank=1)]).failures) is wrong


def test_a_kill_after_the_final_reading_was_written_or_of_another_proxy_excuses_nothing() -> None:
    late = book()
    late.saw(reading(tags=("a",), rank=Rank.FINAL, seq=5, audio_ms=10_000), at=101.0)
    late.killed("ws_proxy-1", at=102.0)
    late.killed("ws_proxy-2", at=100.5)
    assert judged(late, [row(9_000)]).failures


def test_a_kill_long_after_a_request_ended_does_not_excuse_that_its_final_reading_never_came() -> None:
    for at, excused in ((104.0, True), (103.0 + SETTLED_SECONDS, False)):
        found = book(ended=103.0)
        found.killed("ws_proxy-1", at=at)
        assert (judged(found, []).failures == []) is excused


def test_a_reading_that_was_written_has_to_stand_or_be_overtaken() -> None:
    assert "there is no row" in judged(died(0), []).failures[0]
    assert "is older than" in judged(died(4_000), [row(4_000, rank=1, seq=2)]).failures[0]
    assert judged(died(4_000), [row(4_000, rank=1, seq=3)]).failures == []


def test_a_stream_that_was_cut_short_is_billed_at_least_what_its_client_heard_of() -> None:
    cut = book(outcome="vanished", reported_ms=6_000)
    assert judged(cut, [row(6_000)]).failures == []
    assert judged(cut, [row(5_999)]).failures


@pytest.mark.parametrize("outcome", ["closed", "broken"])
def test_a_client_may_notice_the_end_of_its_own_proxy_and_of_nothing_else(outcome: str) -> None:
    cut = book(outcome=outcome, ended=110.0)
    cut.stopped("ws_proxy-2", at=105.0)
    cut.stopped("ws_proxy-1", at=99.0)
    cut.killed("engine-1", at=105.0)
    assert "its client noticed" in judged(cut, [row(10_000)]).failures[0]
    assert judged(cut, [replace(row(10_000), failovers=MOST_IN_A_MINUTE)]).failures == []
    cut.stopped("ws_proxy-1", at=105.0)
    assert judged(cut, [row(10_000)]).failures == []


def test_a_refused_request_is_billed_nothing() -> None:
    assert judged(book(outcome="refused", sent_ms=500), [row(0)]).failures == []
    assert judged(book(outcome="refused", sent_ms=500), []).failures == []
    assert judged(book(outcome="refused", sent_ms=500), [row(500)]).failures


def test_a_request_that_a_killed_proxy_refused_is_among_the_refused() -> None:
    found = book(outcome="refused", sent_ms=0)
    found.killed("ws_proxy-1", at=100.5)
    assert list(judged(found, []).lines) == ["refused, or no server"]


def test_the_table_names_sent_billed_double_counted_and_lost_seconds() -> None:
    head, line, total = judged(book(), [row(9_000)]).table().splitlines()
    assert "double-counted s" in head
    assert line.split()[-5:] == ["1", "10.000", "9.000", "0.000", "1.000"]
    assert total.startswith("total")


def accepted(*deliveries: tuple[str, int], **changes: Any) -> list[str]:
    """What is wrong with these deliveries of an accepted callback, whose bill is right."""
    values: dict[str, Any] = {"kind": "callback", "request_id": "r", "outcome": "clean", **changes}
    found = book(**values)
    for request_id, duration_ms in deliveries:
        found.delivered("a", request_id, duration_ms)
    return judged(found, [row(10_000)] if values["outcome"] == "clean" else []).failures


def test_an_accepted_callback_comes_at_least_once_and_is_right() -> None:
    assert accepted(("r", 10_000)) == accepted(("r", 10_000), ("r", 10_000)) == []
    assert accepted() == ["a: accepted as r by ws_proxy-1, and never delivered"]
    assert accepted(("r", 9_000)) == ["a: delivered 9000 ms of 10000"]
    assert accepted(("x", 10_000)) == ["a: delivered as ['x'], accepted as 'r'"]


def test_a_callback_that_was_not_accepted_may_come_all_the_same_but_only_the_right_one() -> None:
    assert accepted(outcome="refused", request_id="") == []
    assert accepted(("r", 10_000), outcome="refused", request_id="") == []
    assert accepted(("r", 9_000), outcome="refused", request_id="") == ["a: delivered 9000 ms of 10000"]
    assert len(accepted(("r", 10_000), ("x", 10_000), outcome="refused", request_id="")) == 1


def test_what_nobody_requested_and_what_its_receiver_found_wrong_are_failures() -> None:
    found = book()
    found.delivered("b", "r", 1)
    found.spoiled.append("a: delivered with the signature ''")
    failures = judged(found, [row(10_000)]).failures
    assert failures == ["b: delivered, and nobody requested it", "a: delivered with the signature ''"]
