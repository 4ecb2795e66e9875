"""The addresses of the few hosts that a process connects to again and again, kept for a short time.

A handshake that queried the resolver each time would wait for it, occupy one of a handful of threads, and fail whenever
it fails. What is known is used for `keep_seconds`; after that it is resolved again, and where that fails or is
late, the known addresses stay in use: a name server's outage stops no stream. A host whose address changed is found
at the latest after `keep_seconds`, and at once when the old address takes no connection (see `forget`).
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger("aldea.names")

# aiohttp's connector keeps addresses as long; private zones' records live 60 s, a replaced server is up in minutes.
KEEP_SECONDS: Final = 10.0
# For a resolution where old addresses are known; without them the deadline is the caller's.
REFRESH_SECONDS: Final = 1.0
# Of a name with very many addresses no more is tried than fits into a connection's deadline.
MAX_ADDRESSES: Final = 8

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(slots=True)
class _Known:
    addresses: tuple[str, ...]
    until: float


class DnsCache:
    """A cache in front of the system's resolver; one per process. It holds one entry per host of its callers."""

    def __init__(
        self,
        keep_seconds: float = KEEP_SECONDS,
        *,
        lookup: Lookup | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keep_seconds`: 0 resolves each time. The rest is for tests."""
        self._keep = keep_seconds
        self._lookup = lookup or _system_lookup
        self._refresh = refresh_seconds
        self._clock = clock
        self._known: dict[tuple[str, int], _Known] = {}
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """IP addresses of `host`, at least one. Raises OSError if it has none; has no deadline of its own then."""
        if _is_address(host):
            return (host,)
        key = host, port
        known = self._fresh(key)
        if known is not None:
            return known.addresses
        async with self._locks.setdefault(key, asyncio.Lock()):  # of many at once, one resolves
            known = self._fresh(key)
            if known is None:
                known = self._known[key] = await self._resolve(key)
            return known.addresses

    def forget(self, host: str, port: int) -> None:
        """An address of `host` took no connection: resolve it again before the next one."""
        known = self._known.get((host, port))
        if known is not None:
            known.until = float("-inf")

    def _fresh(self, key: tuple[str, int]) -> _Known | None:
        known = self._known.get(key)
        return known if known is not None and self._clock() < known.until else None

    async def _resolve(self, key: tuple[str, int]) -> _Known:
        before = self._known.get(key)
        try:
            async with asyncio.timeout(None if before is None else self._refresh):
                found = _usable(key[0], await self._lookup(*key))
        except OSError as error:  # TimeoutError is one
            if before is None:
                raise
            log.warning("name not resolved, its last addresses are used", host=key[0], error=str(error) or "too late")
            found = before.addresses
        return _Known(found, self._clock() + self._keep)


def _usable(host: str, addresses: Sequence[str]) -> tuple[str, ...]:
    if not addresses:
        raise OSError(f"{host} has no address")
    return tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]


async def _system_lookup(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
