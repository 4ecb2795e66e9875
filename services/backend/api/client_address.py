"""What a request counts for in throttles: the client's address, of an IPv6 one its network."""

from ipaddress import IPv6Address, IPv6Network
from typing import Final

from aiohttp import web

from aldea.service.client_address import client_address, read_address

# A client with one IPv6 address usually has the 2^64 of its network (RFC 6177 section 2), so that is what is counted.
IPV6_PREFIX: Final = 64

FORWARDED_HOPS: Final = web.AppKey("forwarded_hops", int)


def counted_address(request: web.Request) -> str:
    """The address or network that a request counts for, "unknown" if there is none."""
    found = read_address(client_address(request, request.app[FORWARDED_HOPS]))
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, IPV6_PREFIX), strict=False))
    return "unknown" if found is None else str(found)
