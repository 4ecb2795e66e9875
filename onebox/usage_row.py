"""The usage row of a request, read back from PostgreSQL as the bill is."""

import asyncio
from typing import Any, Final

import asyncpg

from aldea.usage.reading import Rank

# From the end of a stream to its row: the proxy's last reading goes through Redis, SQS and the updater.
ARRIVAL_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 30.0
_QUERY_AGAIN_SECONDS: Final = 0.05

_QUERY: Final = """
    select request_id::text, project_id::text, service, lane, path, rank, audio_ms, audio_source, channels,
           connection_ms, bytes_in, bytes_out, status, close_code, failovers, first_word_ms, trace_id
    from usage_requests where request_id = $1::uuid
"""


class NotBilled(RuntimeError):
    """No final usage row has come; the message says what is stored instead."""


async def final_usage_row(database_url: str, request_id: str, within: float = ARRIVAL_SECONDS) -> dict[str, Any]:
    """The final usage row of a request, as soon as it is written. Raises NotBilled after `within` seconds."""
    connection = await asyncpg.connect(database_url, timeout=_CONNECT_SECONDS, command_timeout=_CONNECT_SECONDS)
    found: dict[str, Any] | None = None
    try:
        async with asyncio.timeout(within):
            while True:
                row = await connection.fetchrow(_QUERY, request_id)
                found = dict(row) if row is not None else None
                if found is not None and found["rank"] == Rank.FINAL:
                    return found
                await asyncio.sleep(_QUERY_AGAIN_SECONDS)
    except TimeoutError:
        stored = "there is no row" if found is None else f"the row's rank is {Rank(found['rank']).name.lower()}"
        raise NotBilled(f"No final usage row for request {request_id} within {within:g} s: {stored}.") from None
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)
