"""The rule for tags: how many, how long, of which characters."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea import errors
from aldea.tags import PATTERN, checked_tags


def test_tags_at_the_bounds_are_kept_as_they_are() -> None:
    tags = ["", "x" * 512, "a b", "ü\U0001f469\u200d\U0001f4bb", *["a"] * 12]
    assert checked_tags(iter(tags)) == tuple(tags)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["a"] * 17, "more than 16"),
        (["x" * 513], "513 characters, at most 512"),
        (["a", "\t" * 512], "U+0009"),
        (["a\0"], "U+0000"),
        (["a\r\nb"], "U+000D"),
        (["\x1b[2J"], "U+001B"),
        (["a\x7f"], "U+007F"),
        (["a\x85"], "U+0085"),
        (["a\u2028"], "U+2028"),
        (["a\ud800"], "U+D800"),
    ],
)
def test_what_breaks_the_rule_is_refused_and_said(tags: list[str], words: str) -> None:
    with pytest.raises(errors.BadRequest, match=re.escape(words)):
        checked_tags(tags)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_the_schema_says_the_same_as_the_rule(tag: str) -> None:
    try:
        checked_tags([tag])
    except errors.BadRequest:
        assert re.fullmatch(PATTERN[:-1], tag) is None
    else:
        assert re.fullmatch(PATTERN[:-1], tag)
