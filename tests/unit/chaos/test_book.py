from aldea.usage import Rank
from tests.chaos.book import Book
from tests.readings import reading


def test_the_greatest_reading_of_a_request_is_remembered_and_when_its_final_was_first_seen() -> None:
    book = Book()
    book.saw(reading(tags=("a",), seq=2), at=1.0)
    book.saw(reading(tags=("a",), rank=Rank.FINAL, seq=3), at=2.0)
    book.saw(reading(tags=("a",), rank=Rank.FINAL, seq=3), at=3.0)
    book.saw(reading(tags=("a",), seq=9), at=4.0)
    assert (book.written["a"].reading.seq, book.written["a"].final_at) == (3, 2.0)
