from aldea.usage.reading import Rank
from tests.chaos.book import Book, Driven, Outcome
from tests.readings import reading


def test_the_greatest_reading_of_a_request_is_remembered_and_when_its_final_was_first_seen() -> None:
    book = Book()
    book.saw(reading(tags=("a",), seq=2), at=1.0)
    book.saw(reading(tags=("a",), rank=Rank.FINAL, seq=3), at=2.0)
    book.saw(reading(tags=("a",), rank=Rank.FINAL, seq=3), at=3.0)
    book.saw(reading(tags=("a",), seq=9), at=4.0)
    assert (book.written["a"].reading.seq, book.written["a"].final_at) == (3, 2.0)


def test_a_request_that_was_closed_without_its_proxy_and_came_back_is_counted() -> None:
    book = Book()
    for tag in ("gone", "back"):
        book.saw(reading(tags=(tag,), rank=Rank.INCOMPLETE, seq=2), at=1.0)
    book.saw(reading(tags=("back",), rank=Rank.FINAL, seq=3), at=2.0)
    book.saw(reading(tags=("ended",), rank=Rank.FINAL, seq=3), at=1.0)
    book.saw(reading(tags=("ended",), rank=Rank.INCOMPLETE, seq=2), at=2.0)
    assert (book.given_up, book.came_back) == (2, 1)


def test_a_kill_within_a_requests_first_second_is_counted_if_the_request_was_let_in() -> None:
    book = Book()
    for tag, opened in (("young", 9.5), ("old", 5.0), ("later", 11.0), ("never let in", 9.5)):
        book.driven[tag] = Driven(tag, "stream", "ws_proxy-1", opened, 1000)
        if tag != "never let in":
            book.saw(reading(tags=(tag,), seq=0), at=opened)
    book.killed("ws_proxy-1", at=10.0)
    assert book.died_young == 1


def test_what_was_seen_during_a_failover_is_not_held_against_the_bill() -> None:
    book = Book()
    checkpoint = reading(tags=("a",), audio_ms=1000)
    book.saw(checkpoint, 1.0)
    remembered = book.remembered()
    book.saw(reading(request_id=checkpoint.request_id, tags=("a",), rank=Rank.FINAL, seq=2, audio_ms=5000), 2.0)
    book.saw(reading(tags=("b",)), 2.0)
    book.forget_since(remembered)
    assert book.written["a"].reading == checkpoint
    assert book.written["a"].final_at is None
    assert "b" not in book.written


def test_the_report_counts_what_was_accepted_and_how_often_it_came() -> None:
    book = Book()
    outcomes: dict[str, Outcome] = {"a": "clean", "b": "refused", "c": "clean"}
    for tag, outcome in outcomes.items():
        book.driven[tag] = Driven(tag, "callback", "http_proxy-1", 0.0, 1, outcome=outcome)
    for tag in ("a", "a", "c"):
        book.delivered(tag, "r", 1)
    assert book.callbacks == {"accepted": 2, "delivered": 2, "delivered more than once": 1}
