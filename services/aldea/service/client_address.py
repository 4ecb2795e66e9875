"""Whose request this is, by address: `X-Forwarded-For` is believed by its place in the list, never by its content.

Each of our own hops (a load balancer) appends the address that it was called by. So the entry that many places from
the end was written by the first hop of ours, and everything in front of it by the client itself: it never counts.
Whether an address is private says nothing; clients inside our own network have private ones too.
"""

from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web
from pydantic import Field

from aldea.settings import ServiceSettings

HEADER = "X-Forwarded-For"
# An address as a balancer writes it, with brackets, zone and port, is not longer; anything else is not remembered.
_LONGEST = 64


class ForwardedSettings(ServiceSettings):
    """For a service that counts or logs clients by their addresses."""

    forwarded_hops: int = Field(
        1,
        ge=0,
        le=8,
        description="how many hops of ours append an address to X-Forwarded-For on the way here, 0 to 8 "
        "(1: one load balancer; 0: clients connect directly, the header is ignored)",
    )


def client_address(request: web.BaseRequest, hops: int = 1) -> str:
    """The client's address as `hops` of our own hops report it, without port and zone; "" if there is none.

    With fewer entries than hops the first one counts: the hops nearest to us wrote all of them. Without an entry, or if
    the one that counts is not an address, it is the peer's.
    """
    values = request.headers.getall(HEADER, [])
    forwarded, peer = values[0] if len(values) == 1 else ",".join(values), request.remote or ""
    count = _counted if len(forwarded) + len(peer) <= _LONGEST else _count
    return count(forwarded, peer, hops)


def _count(forwarded: str, peer: str, hops: int) -> str:
    listed = [entry for entry in forwarded.split(",") if entry.strip()]
    found = read_address(listed[-min(hops, len(listed))]) if hops and listed else None
    found = found or read_address(peer)
    return "" if found is None else str(found)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as balancers write it: bare, or with a port (`1.2.3.4:5`, `[::1]:5`). None for anything else."""
    return _remembered(text) if len(text) <= _LONGEST else _read(text)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    with suppress(ValueError):
        found = ip_address(text.partition("%")[0])
        return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
    return None


# A client comes again and again, and to parse its address takes longer than anything else here.
_remembered = lru_cache(maxsize=4096)(_read)
_counted = lru_cache(maxsize=4096)(_count)
