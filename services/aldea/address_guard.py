"""Where the platform may go on a customer's word: callback and audio URLs reach public addresses only.

Three rings, since each alone can be walked around. `check` judges the URL's text; the resolver of `GuardedClient`
returns a name's addresses only after judging them, and these very addresses are connected to (a response that changes
between check and use changes nothing); the socket factory judges each address once more at the moment of connecting.
Redirects are followed here, not by the HTTP library, and pass all three again.
"""

import io
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Self, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from aldea import errors
from aldea.lookups import Lookup, Lookups
from aldea.tasks import Deadline

ALLOWED_PORTS: Final = frozenset({80, 443, 8080, 8443})
MAX_URL_LENGTH: Final = 2048
MAX_REDIRECTS: Final = 5
RESOLVE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 5.0
# Connections that all customers' URLs share; more wait their turn within their deadline.
MAX_CONNECTIONS: Final = 100

LOOPBACK_HELP: Final = (
    "true only in tests and on one machine: callback and audio URLs may then reach loopback addresses"
)

Address: TypeAlias = IPv4Address | IPv6Address

# IANA's IPv4 special-purpose registry (RFC 6890 and its successors), multicast (RFC 5771), reserved (RFC 1112).
_IPV4_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Of IPv6 only global unicast (RFC 4291 section 2.4) is used at all. That leaves out loopback, link-local, unique local,
# multicast, and the forms that carry an IPv4 address: mapped, compatible, translated, NAT64 (64:ff9b::).
_IPV6_GLOBAL: Final = IPv6Network("2000::/3")
# Inside it: IETF assignments with Teredo, documentation, 6to4 (embeds an IPv4 address), AS112, documentation.
_IPV6_REFUSED: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
# ISATAP (RFC 5214 section 6.1): these middle bits of the interface identifier announce an embedded IPv4 address.
_ISATAP: Final = (0x00005EFE, 0x02005EFE)

# What `inet_aton` takes for an IPv4 address though it is not written as four decimal numbers (WHATWG URL section 3.5).
_ENDS_IN_NUMBER: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)$")
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_CONTROL_OR_SPACE: Final = re.compile(r"[\x00-\x20\x7f\\]")


class RefusedUrl(errors.BadRequest):
    """A URL that the platform does not go to."""


class _RefusedAtConnect(OSError):
    """The last ring: a connection to a refused address was about to be made."""


def is_public(address: Address) -> bool:
    """Whether this is an address of the public internet, and of a form that hides no other."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_REFUSED)
    if address.scope_id is not None or address not in _IPV6_GLOBAL:
        return False
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in network for network in _IPV6_REFUSED)


class AddressGuard:
    """The rules. `allow_loopback` exists for tests and the single machine; nothing else is ever allowed beside."""

    def __init__(self, *, allow_loopback: bool = False, lookup: Lookup | None = None) -> None:
        """`lookup`: how names are resolved (`socket.getaddrinfo` on threads of the guard's own, by default)."""
        self.allow_loopback = allow_loopback
        self._lookup: Lookup = lookup or _getaddrinfo
        self._lookups = Lookups()

    def close(self) -> None:
        """Let go of the threads; lookups that wait for one are dropped."""
        self._lookups.close()

    def allows(self, address: Address) -> bool:
        """Whether a connection to this address may be made."""
        return is_public(address) or (self.allow_loopback and address.is_loopback)

    def check(self, text: str | URL) -> URL:
        """The URL, if its text is acceptable; names are not resolved yet. Raises RefusedUrl."""
        url = _parse(text)
        try:
            host = (url.raw_host or "").rstrip(".")
        except ValueError:  # yarl parses some hosts, such as [:;], only when they are read
            raise RefusedUrl("The URL's host cannot be read. Use a public host name.") from None
        try:
            address: Address | None = ip_address(host)
        except ValueError:
            address = None
        if address is None:
            if "%" in host or ":" in host or not _NAME.fullmatch(host) or ".." in host:
                raise RefusedUrl("The URL's host is neither a name nor an address. Use a public host name.")
            if _ENDS_IN_NUMBER.search(host):
                raise RefusedUrl(f"The URL's host {host:.80} is a number. Write an address as four decimal numbers.")
        elif not self.allows(address):
            raise _not_public(host)
        if url.port not in ALLOWED_PORTS and not self._is_loopback(host, address):
            raise RefusedUrl(f"The URL's port {url.port} is not allowed. Use port 80, 443, 8080 or 8443.")
        return url

    async def check_resolved(self, text: str | URL) -> URL:
        """As `check`, and its name resolves to public addresses now. Raises RefusedUrl."""
        url = self.check(text)
        await self.resolve(url.raw_host or "", url.port or 0)
        return url

    async def resolve(self, host: str, port: int) -> list[ResolveResult]:
        """The checked addresses of a host. One refused address refuses the whole name. Raises RefusedUrl."""
        try:
            with Deadline(RESOLVE_SECONDS):
                found = await self._lookups.look_up(self._lookup, host, port)
        except (OSError, UnicodeError):  # TimeoutError is an OSError
            found = ()
        results = []
        for family, _type, _proto, _name, sockaddr in found:
            # A link-local address may carry a scope ("fe80::1%eth0"): ip_address keeps it, is_public refuses it.
            if not self.allows(ip_address(sockaddr[0])):
                raise _not_public(host)
            results.append(
                ResolveResult(
                    hostname=host, host=sockaddr[0], port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
                )
            )
        if not results:
            # The same words as for a private address: the response does not show which names exist inside.
            raise _not_public(host)
        return results

    def connect_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Socket factory of aiohttp's connector: the last look at an address before it is connected to."""
        family, kind, proto, _, sockaddr = info
        if not self.allows(ip_address(sockaddr[0])):
            raise _RefusedAtConnect("the address guard refuses this address")
        return socket.socket(family, kind, proto)

    def _is_loopback(self, host: str, address: Address | None) -> bool:
        return self.allow_loopback and (address.is_loopback if address is not None else host == "localhost")


def _getaddrinfo(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


def _parse(text: str | URL) -> URL:
    text = str(text)
    if len(text) > MAX_URL_LENGTH:
        raise RefusedUrl(f"The URL is {len(text)} characters long; at most {MAX_URL_LENGTH} are allowed.")
    if _CONTROL_OR_SPACE.search(text):
        raise RefusedUrl("The URL contains a space, a control character or a backslash. Percent-encode it.")
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise RefusedUrl("The URL cannot be read. Use the form https://host/path.") from None
    if url.scheme not in {"http", "https"} or not url.raw_host or port is None:
        raise RefusedUrl("The URL is not one of http or https with a host. Use the form https://host/path.")
    if url.raw_user is not None or url.raw_password is not None:
        raise RefusedUrl("The URL carries a user name or password. Use a pre-signed URL, or a secret in its query.")
    if not text.isascii():
        return url
    # Path and query go out as they were written: a signature in them may depend on each escape. The host is the one
    # that was understood above, never a second reading of the text.
    raw = URL(text, encoded=True)
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=raw.raw_path,
        query_string=raw.raw_query_string,
        encoded=True,
    )


def _not_public(host: str) -> RefusedUrl:
    return RefusedUrl(f"The URL's host {host:.80} has no public address. The platform reaches public addresses only.")


class _Resolver(AbstractResolver):
    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._guard.resolve(host, port)
        return [result for result in results if family in (socket.AF_UNSPEC, result["family"])]

    async def close(self) -> None:
        return


class GuardedClient:
    """An HTTP client for customers' URLs. One per process; enter it as a context."""

    def __init__(self, guard: AddressGuard) -> None:
        self.guard = guard
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(self.guard),
            use_dns_cache=False,
            socket_factory=self.guard.connect_socket,
            limit=MAX_CONNECTIONS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            # A compressed response could expand to any size; none is requested, and none is decompressed.
            auto_decompress=False,
            headers={"User-Agent": "aldea-speech/1", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session is not None:
            await self._session.close()
        self.guard.close()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str | URL,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and follow its redirects; yields the last response, its body unread.

        `seconds` is the deadline for everything, reading the body included. A POST or PUT follows 307 and 308 alone,
        which keep method and body (RFC 9110 section 15.4); other redirects are yielded as they are.
        Raises RefusedUrl, and aiohttp.ClientError or TimeoutError if the host cannot be talked to.
        """
        if self._session is None:
            raise RuntimeError("GuardedClient is used outside of its context")
        target = self.guard.check(url)
        with Deadline(seconds):
            for _ in range(MAX_REDIRECTS + 1):
                async with self._session.request(
                    method,
                    target,
                    headers=headers,
                    data=io.BytesIO(body) if body is not None else None,  # sent in pieces, each time from its start
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                ) as response:
                    location = response.headers.get("Location")
                    follows = {301, 302, 303, 307, 308} if method == "GET" else {307, 308}
                    if response.status not in follows or location is None:
                        yield response
                        return
                    target = self.guard.check(_joined(target, location))
            raise RefusedUrl(f"The URL was redirected more than {MAX_REDIRECTS} times.")


def _joined(base: URL, location: str) -> str:
    if _CONTROL_OR_SPACE.search(location) or len(location) > MAX_URL_LENGTH:
        raise RefusedUrl("The URL was redirected to something that is no URL.")
    try:
        return str(base.join(URL(location, encoded=True)))
    except ValueError:
        raise RefusedUrl("The URL was redirected to something that is no URL.") from None
