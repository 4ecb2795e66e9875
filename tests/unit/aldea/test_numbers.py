"""Numbers of others: what is one, and what becomes of absurd ones."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.numbers import MAX_RETRY_SECONDS, bounded_wait, retry_after_seconds, whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("0" * 5000 + "9", 9), ("999", 999)])
def test_a_number_within_its_bound_is_read(text: str, number: int) -> None:
    assert whole_number(text, most=999) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.5", "1e3", " 1", "1_0", "\u0663", "\u00b2", "1000", "9" * 400, "9" * 5000]
)
def test_what_is_no_number_or_too_great_is_none(text: str) -> None:
    assert whole_number(text, most=999) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 400, MAX_RETRY_SECONDS),
        ("9" * 5000, MAX_RETRY_SECONDS),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("\u0663", None),
        ("soon", None),
        ("nan", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_SECONDS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 99 Dec 9999 99:99:99 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("x" * 100_000, None),
    ],
)
def test_a_retry_after_is_bounded_whatever_it_says(text: str, seconds: float | None) -> None:
    assert retry_after_seconds(text) == seconds


def test_a_date_is_a_wait_until_then() -> None:
    wait = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert wait is not None
    assert 0 < wait <= 3600


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    found = retry_after_seconds(text)
    assert found is None or 0 <= found <= MAX_RETRY_SECONDS


@given(st.floats() | st.integers())
def test_every_wait_is_bounded(seconds: float) -> None:
    assert 1 <= bounded_wait(seconds, least=1) <= MAX_RETRY_SECONDS
