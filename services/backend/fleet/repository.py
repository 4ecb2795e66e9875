"""What operators look for in PostgreSQL: statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from aldea.postgres import Connection
from aldea.rows import Query
from backend.live.models import Service


@dataclass(frozen=True, slots=True)
class SlowRow:
    """A request that has not ended and whose first words came late. `started_ms`: Unix milliseconds."""

    request_id: str
    project_id: str
    project: str
    lane: str
    started_ms: int
    first_word_ms: int


@dataclass(frozen=True, slots=True)
class StoryRow:
    """A request of any project, with its project's and its key's names."""

    request_id: str
    project_id: str
    project: str
    key_id: str
    key: str
    last4: str
    service: Service
    lane: str
    path: str
    endpoint: str
    started_ms: int
    rank: Literal[0, 1, 2]
    status: int
    close_code: int | None
    audio_ms: int
    channels: int
    connection_ms: int
    bytes_in: int
    bytes_out: int
    charge_micros: int
    price_id: int | None
    model: str
    features: list[str]
    tags: list[str]
    failovers: int
    first_word_ms: int | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A key of any project."""

    key_id: str
    comment: str
    last4: str
    project_id: str
    project: str
    created: datetime
    revoked: datetime | None


# `rank = 0` is what the partial index usage_requests_open holds: few rows at any time.
SLOWEST: Final = Query(
    SlowRow,
    """
    select request_id::text, project_id::text, name as project, lane, started_ms, first_word_ms
    from (
        select request_id, project_id, lane, started_ms, first_word_ms from usage_requests
        where rank = 0 and first_word_ms is not null order by first_word_ms desc limit $1
    ) slow join projects using (project_id) order by first_word_ms desc
    """,
)
_STORY: Final = Query(
    StoryRow,
    """
    select request_id::text, found.project_id::text, coalesce(projects.name, '') as project, found.key_id::text,
        coalesce(comment, '') as key, coalesce(last4, '') as last4, service, lane, path, endpoint, started_ms, rank,
        status, close_code, audio_ms, channels, connection_ms, bytes_in, bytes_out, charge_micros, price_id, model,
        features, found.tags, failovers, first_word_ms, trace_id
    from usage_requests found left join projects on projects.project_id = found.project_id
        left join api_keys on api_keys.key_id = found.key_id
    where request_id = $1
    """,
)
_KEYS: Final = Query(
    FoundRow,
    """
    select key_id::text, comment, last4, project_id::text, name as project, api_keys.created, revoked
    from api_keys join projects using (project_id) where last4 = $1 order by key_id desc limit $2
    """,
)


async def slowest(connection: Connection, limit: int) -> list[SlowRow]:
    """Requests that have not ended, those first whose first words came last."""
    return await SLOWEST.all(connection, limit)


async def story(connection: Connection, request_id: str) -> StoryRow | None:
    """A request, whoever's it is."""
    return await _STORY.first(connection, request_id)


async def keys_ending(connection: Connection, last4: str, limit: int) -> list[FoundRow]:
    """Keys of any project with these last characters, newest first."""
    return await _KEYS.all(connection, last4, limit)


async def canary_usage_lag_ms(connection: Connection) -> int | None:
    """From a response to its usage row, as the canary measured last within ten minutes."""
    found = await connection.fetchval(
        """
        select usage_lag_ms from canary_runs
        where began > now() - interval '10 minutes' and usage_lag_ms is not null order by began desc limit 1
        """
    )
    return None if found is None else int(found)
