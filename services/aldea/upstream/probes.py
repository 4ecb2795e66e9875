"""One `GET /stats` of an STT server: whether it lives, and what it says of itself."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import hdrs

from aldea.headers import REQUEST_ID_HEADER
from aldea.ids import new_request_id
from aldea.upstream.server import Upstream
from aldea.upstream.stats import MAX_STATS_BYTES, UNKNOWN, AbsurdStats, Stats, read_stats
from aldea.upstream.urls import trust

PROBE_EVERY_SECONDS: Final = 5.0
PROBE_DEADLINE_SECONDS: Final = 2.0
# The contract's path on STT servers that costs them nothing; any response below 500 shows that the server lives.
PROBE_PATH: Final = "/stats"


class ProbeFailed(Exception):
    """The server does not live; the message says what it did instead."""


async def probe(session: aiohttp.ClientSession, server: Upstream, authorization: Mapping[str, str]) -> Stats:
    """What `server` says of itself, UNKNOWN if it says nothing of use. Raises ProbeFailed, AbsurdStats."""
    try:
        async with session.get(
            server.base_url.with_host(server.host).with_path(PROBE_PATH),
            ssl=trust() if server.base_url.scheme == "https" else True,
            server_hostname=server.base_url.host,
            headers={
                hdrs.HOST: server.base_url.raw_authority,
                REQUEST_ID_HEADER: new_request_id(),
                # A compressed body could be small on the wire and huge in memory.
                hdrs.ACCEPT_ENCODING: "identity",
                **authorization,
            },
            timeout=aiohttp.ClientTimeout(total=PROBE_DEADLINE_SECONDS),
            allow_redirects=False,
        ) as response:
            if response.status >= 500:
                raise ProbeFailed(f"probe response {response.status}")
            if response.status != 200:
                return UNKNOWN
            return read_stats(await _body(response))
    except AbsurdStats:
        raise
    except TimeoutError:
        raise ProbeFailed(f"no response to the probe within {PROBE_DEADLINE_SECONDS:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ProbeFailed(f"probe failed: {type(error).__name__}: {error}") from None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise AbsurdStats("the body is compressed, which was not requested; allowed: JSON as it is")
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_STATS_BYTES:
            # Leaving the response's context closes the connection: the rest is not read.
            raise AbsurdStats(f"the body is larger than {MAX_STATS_BYTES} bytes")
    return body
