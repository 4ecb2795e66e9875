"""The headers of rate limits, as structured fields (RFC 9651)."""

import pytest

from aldea.admission.rate_limits import headers, read
from aldea.rate_limits import Limit


def test_every_limit_is_a_policy_and_what_is_left_of_it() -> None:
    found = headers("key 60 9 1 project 600 99 1 key-streams 5 4 - ")
    assert found == {
        "RateLimit-Policy": '"key";q=60;w=60, "project";q=600;w=60, "key-streams";q=5;qu="concurrent-requests"',
        "RateLimit": '"key";r=9;t=1, "project";r=99;t=1, "key-streams";r=4',
    }


def test_where_nothing_is_limited_there_is_nothing_to_say() -> None:
    assert headers("") == {}


def test_a_text_of_another_shape_is_no_limit() -> None:
    assert read("key 1 2 3") == [Limit("key", 1, 2, 60, 3)]
    with pytest.raises(ValueError, match="zip"):
        read("key 1 2")
