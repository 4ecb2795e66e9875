"""Given STT servers: that at least one responds as such and takes the token; the others are named."""

import asyncio
from typing import Final

import aiohttp
from yarl import URL

from aldea.upstream.urls import base_url, parse_servers
from onebox.given.errors import Unusable, not_reached, one_line

EXAMPLE: Final = "http://host:8800, or several with commas between"
_STATS: Final = "/stats"
# Longer than the deadline of all checks, which says it in its own words.
_SECONDS: Final = 30.0


class Wrong(Unusable):
    """It responds, and will not become usable by waiting: a reason not to start, even if other servers are usable."""


async def check(servers: str, token: str | None) -> str:
    """Which servers respond. Raises Unusable if none does, or one responds that is no STT server for us."""
    try:
        urls = [base_url(one) for one in parse_servers(servers)]
    except ValueError as error:
        raise Unusable(f"{one_line(error)}; allowed: {EXAMPLE}.") from None
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    headers = {"Authorization": f"Token {token}"} if token else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
        found = await asyncio.gather(*(_look(session, url) for url in urls), return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Unusable | TimeoutError):
            raise outcome
    silent = [outcome for outcome in found if isinstance(outcome, BaseException)]
    if len(silent) == len(urls):
        if isinstance(silent[0], TimeoutError):
            raise TimeoutError
        raise silent[0]
    if wrong := [outcome for outcome in silent if isinstance(outcome, Wrong)]:
        raise wrong[0]
    names = ", ".join(_name(url) for url, outcome in zip(urls, found, strict=True) if outcome is None)
    less = ", ".join(_name(url) for url, outcome in zip(urls, found, strict=True) if outcome is not None)
    return f"STT server on {names}" + (f" (no response from {less}, which is tried again later)" if less else "")


async def _look(session: aiohttp.ClientSession, url: URL) -> None:
    """One GET of its statistics, which costs it nothing. Raises Unusable, TimeoutError."""
    where = _name(url)
    try:
        async with session.get(url / _STATS.lstrip("/"), allow_redirects=False) as response:
            status = response.status
    except aiohttp.ClientConnectorError as error:
        raise not_reached(where, error.os_error) from None
    except (aiohttp.ClientError, ValueError) as error:
        raise Wrong(f"what listens on {where} does not respond as an STT server does ({one_line(error)}).") from None
    if status in {401, 403}:
        raise Wrong(f"the STT server on {where} does not take the token (status {status}). Correct STT_UPSTREAM_TOKEN.")
    if status != 200:
        raise Wrong(
            f"what listens on {where} is no STT server: GET {_STATS} has status {status}; needed: 200. "
            "Correct the address."
        )


def _name(url: URL) -> str:
    return f"{url.host}:{url.port}"
