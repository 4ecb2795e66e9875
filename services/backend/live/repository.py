"""The usage rows of requests that have not ended: statements on the connection that they are given."""

import asyncpg

from aldea.postgres import Connection

# `rank = 0` is what the partial index usage_requests_open holds: few rows at any time.
RUNNING = """
    select request_id::text, started_ms, key_id::text, service, lane, path, audio_ms, tags
    from usage_requests where rank = 0 and project_id = $1
    order by started_ms desc, request_id desc limit $2
"""
LANES = """
    select lane, service, count(*) as streams, count(distinct project_id) as projects,
        sum(audio_ms)::bigint as audio_ms, min(started_ms) as oldest_ms
    from usage_requests where rank = 0 group by lane, service order by lane, service
"""


async def running(connection: Connection, project_id: str, limit: int) -> list[asyncpg.Record]:
    """A project's requests that have not ended, newest first."""
    return await connection.fetch(RUNNING, project_id, limit)


async def lanes(connection: Connection) -> list[asyncpg.Record]:
    """How much runs on each lane, for each service."""
    return await connection.fetch(LANES)
