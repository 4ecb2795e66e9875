from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from aldea.settings import read
from aldea.tracing.settings import ForwardedTracedSettings, TracedSettings, networks, within
from tests.unit.aldea.tracing.test_context import GOOD


@pytest.mark.parametrize(
    ("setting", "address", "continued"),
    [
        ("inside", "127.0.0.1", True),
        ("inside", "10.1.2.3", True),
        ("inside", "fd00::1", True),
        ("inside", "203.0.113.9", False),
        ("inside", "2001:db8::1", False),
        ("inside", "", False),
        ("everybody", "203.0.113.9", True),
        ("everybody", "2001:db8::1", True),
        ("everybody", "", False),
        ("nobody", "127.0.0.1", False),
        ("203.0.113.0/24, 2001:db8::/32", "203.0.113.9", True),
        ("203.0.113.0/24, 2001:db8::/32", "2001:db8::1", True),
        ("203.0.113.0/24", "10.1.2.3", False),
        ("203.0.113.9", "203.0.113.9", True),
    ],
)
def test_whose_trace_is_continued_is_decided_by_address(setting: str, address: str, continued: bool) -> None:
    assert within(address, setting) is continued


@pytest.mark.parametrize("setting", ["somebody", "10.0.0.1/8", "10.0.0.0/33", "inside, nobody"])
def test_what_is_no_network_stops_the_start(setting: str) -> None:
    with pytest.raises(ValueError, match=setting.partition(",")[0]):
        networks(setting)
    with pytest.raises(ValidationError):
        read(TracedSettings, port=0, trace_callers=setting)


def test_the_address_is_the_one_that_our_own_hop_wrote() -> None:
    settings = read(TracedSettings, port=0)
    outside: Any = make_mocked_request("GET", "/", {"traceparent": GOOD, "X-Forwarded-For": "10.0.0.1, 203.0.113.9"})
    inside: Any = make_mocked_request("GET", "/", {"traceparent": GOOD, "X-Forwarded-For": "203.0.113.9, 10.0.0.1"})
    bare: Any = make_mocked_request("GET", "/", {"X-Forwarded-For": "10.0.0.1"})
    assert [settings.continues_trace(each) for each in (outside, inside, bare)] == [False, True, False]


def test_one_that_knows_how_many_hops_are_before_it_counts_them() -> None:
    request: Any = make_mocked_request("GET", "/", {"traceparent": GOOD, "X-Forwarded-For": "10.0.0.1, 203.0.113.9"})
    continued = [
        read(ForwardedTracedSettings, port=0, forwarded_hops=hops, trace_callers="10.0.0.0/8").continues_trace(request)
        for hops in (1, 2)
    ]
    assert continued == [False, True]
