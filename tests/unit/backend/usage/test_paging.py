"""Tokens of next pages: what goes in comes out, and nothing else is taken."""

import base64
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.usage.errors import PageUnusable
from backend.usage.paging import Place, read_token
from backend.usage.period import Period

START = 1_775_001_599_000
ID = "018f0000-0000-7000-8000-000000000001"


def packed(start: int, end: int, started: int) -> str:
    return base64.urlsafe_b64encode(struct.pack(">qqq16s", start, end, started, b"x" * 16)).decode().rstrip("=")


@given(st.integers(0, 10**9), st.integers(1, 10**9), st.uuids())
def test_a_place_survives_its_token(into: int, more: int, request_id: object) -> None:
    place = Place(Period(START, START + into + more), START + into, str(request_id))
    assert read_token(place.token()) == place
    assert set("=+/&") & set(place.token()) == set()


@pytest.mark.parametrize(
    "token",
    ["", "x", "0", "not a token", "é", packed(START, START, START), packed(START, START + 9, START + 9),
     packed(START, START + 9, START - 1), packed(-1, START, START - 1), packed(START, 1 << 62, START)],
)  # fmt: skip
def test_a_token_that_no_list_gave_is_refused(token: str) -> None:
    with pytest.raises(PageUnusable, match="next_page_token"):
        read_token(token)


@given(st.text(max_size=80))
def test_no_text_does_worse_than_be_refused(token: str) -> None:
    with suppress(PageUnusable):
        read_token(token)
