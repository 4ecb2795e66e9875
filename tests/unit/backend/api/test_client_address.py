"""What a request counts for in throttles."""

from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from backend.api.client_address import FORWARDED_HOPS, counted_address


def counted(peer: str | None, forwarded: str = "", hops: int = 1) -> str:
    app = web.Application()
    app[FORWARDED_HOPS] = hops
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    found: Any = make_mocked_request("GET", "/", headers=headers, app=app)
    return counted_address(found.clone(remote=peer))


def test_all_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert counted("10.0.0.1", "2001:db8::1") == counted("10.0.0.1", "2001:db8::ffff:2") == "2001:db8::/64"
    assert counted("2001:db8::1") != counted("2001:db8:0:1::1")


def test_an_ipv4_address_counts_alone_also_when_it_is_written_as_ipv6() -> None:
    assert counted("10.0.0.1", "::ffff:203.0.113.9") == counted("10.0.0.1", "203.0.113.9") == "203.0.113.9"


def test_the_settings_hops_decide_and_no_address_is_unknown() -> None:
    assert counted("10.0.0.1", "1.1.1.1, 203.0.113.9", hops=2) == "1.1.1.1"
    assert counted("10.0.0.1", "1.1.1.1", hops=0) == "10.0.0.1"
    assert counted(None) == "unknown"
