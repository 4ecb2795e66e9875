"""Which entry of `X-Forwarded-For` counts: its place decides, and nothing that a client writes in front of it."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea.service.client_address import client_address, read_address


def request(peer: str | None, *forwarded: str) -> Any:
    found: Any = make_mocked_request("GET", "/", headers=[("X-Forwarded-For", line) for line in forwarded])
    return found.clone(remote=peer)


@pytest.mark.parametrize(
    ("hops", "peer", "forwarded", "client"),
    [
        (1, "10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        # What the client sent is in front of what the balancer appended.
        (1, "10.0.0.1", ("1.1.1.1, 203.0.113.9",), "203.0.113.9"),
        (1, "10.0.0.1", ("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        # A client with a private address of its own is a client like any other: what it wrote never counts.
        (1, "10.0.0.1", ("1.1.1.1, 10.0.7.7",), "10.0.7.7"),
        (1, "127.0.0.1", ("1.1.1.1, 127.0.0.1",), "127.0.0.1"),
        (1, "10.0.0.1", ("1.1.1.1, 10.0.0.2, 192.168.0.3",), "192.168.0.3"),
        (1, "10.0.0.1", ("fd00::1, ::1",), "::1"),
        (2, "10.0.0.1", ("1.1.1.1, 203.0.113.9, 10.0.7.7",), "203.0.113.9"),
        (2, "10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        (0, "198.51.100.7", ("203.0.113.9",), "198.51.100.7"),
        (1, "198.51.100.7", (), "198.51.100.7"),
        (1, "198.51.100.7", ("",), "198.51.100.7"),
        (1, "10.0.0.1", ("1.1.1.1, , 203.0.113.9, ,",), "203.0.113.9"),
        (1, "10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        (1, "10.0.0.1", ("[2001:db8:1:2:3::9]:4711",), "2001:db8:1:2:3::9"),
        (1, "10.0.0.1", ("::ffff:203.0.113.9",), "203.0.113.9"),
        (1, "10.0.0.1", ("fe80::1%eth0",), "fe80::1"),
        (1, "10.0.0.1", ("1.1.1.1, nonsense",), "10.0.0.1"),
        (1, "10.0.0.1", ("1.1.1.1, [::1",), "::1"),
        (1, None, ("nonsense",), ""),
        (1, None, (), ""),
    ],
)
def test_the_entry_that_our_first_hop_wrote_is_the_client(
    hops: int, peer: str | None, forwarded: tuple[str, ...], client: str
) -> None:
    assert client_address(request(peer, *forwarded), hops) == client


@pytest.mark.parametrize(
    "text", ["", " ", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "999.1.1.1", ":", "[", "[]", "%", "²", "1" * 8000]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text) is None
