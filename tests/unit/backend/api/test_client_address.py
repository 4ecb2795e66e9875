"""Which address a request counts for: what a client writes itself never decides."""

from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from backend.api.client_address import TrustedHops

HOPS = TrustedHops([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def request(peer: str | None, *forwarded: str) -> Any:
    found: Any = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", line) for line in forwarded])
    return found.clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("198.51.100.7", (), "198.51.100.7"),
        # Not one of our hops: whatever it says is its own invention.
        ("198.51.100.7", ("203.0.113.9",), "198.51.100.7"),
        ("10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        # In front of what our balancer appended stands what the client sent.
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        # The console behind the balancer.
        ("10.0.0.1", ("1.1.1.1, 203.0.113.9, 10.0.7.7",), "203.0.113.9"),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        ("fd00::1", ("[2001:db8:1:2:3::9]:4711",), "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        (None, ("203.0.113.9",), "unknown"),
    ],
)
def test_the_origin_is_the_first_hop_from_the_end_that_is_not_ours(
    peer: str | None, forwarded: tuple[str, ...], origin: str
) -> None:
    assert HOPS.origin(request(peer, *forwarded)) == origin


def test_all_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert HOPS.origin(request("2001:db8::1")) == HOPS.origin(request("2001:db8::ffff:2"))
    assert HOPS.origin(request("2001:db8::1")) != HOPS.origin(request("2001:db8:0:1::1"))
