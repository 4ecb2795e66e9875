"""The headers of rate limits, as structured fields (RFC 9651)."""

from aldea.rate_limits import Limit, headers


def test_each_limit_is_a_policy_with_its_window_and_what_is_left() -> None:
    assert headers([Limit("grant", 3000, 2999, 60, 60), Limit("streams", 5, 0, None, None)]) == {
        "RateLimit-Policy": '"grant";q=3000;w=60, "streams";q=5;qu="concurrent-requests"',
        "RateLimit": '"grant";r=2999;t=60, "streams";r=0',
    }


def test_without_limits_there_are_no_headers() -> None:
    assert headers([]) == {}
