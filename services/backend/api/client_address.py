"""Whose request this is, by address: forwarded addresses count only as far as trusted hops vouch for them."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from aiohttp import web

Network: TypeAlias = IPv4Network | IPv6Network

# Whoever has one IPv6 address usually has the 2^64 of its network (RFC 6177 section 2), so that is what is counted.
IPV6_PREFIX: Final = 64


class TrustedHops:
    """The networks of our own balancers and of the console, whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def origin(self, request: web.BaseRequest) -> str:
        """The address that the request comes from, for counting; an IPv6 one as its network.

        Each hop appends whom it was called by, so the list is read from its end for as long as hops are trusted: the
        first that is not is the client, whatever it may have written in front. Unreadable: the last one that was read.
        """
        found = _read(request.remote or "")
        listed = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for text in reversed(listed):
            if found is None or not self._trusts(found):
                break
            before = _read(text)
            if before is None:
                break
            found = before
        if found is None:
            return "unknown"
        if isinstance(found, IPv6Address):
            return str(IPv6Network((found, IPV6_PREFIX), strict=False))
        return str(found)

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """An address as balancers write it: bare, or with a port (`1.2.3.4:5`, `[::1]:5`)."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    with suppress(ValueError):
        found = ip_address(text)
        return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
    return None


TRUSTED_HOPS: Final = web.AppKey("trusted_hops", TrustedHops)
