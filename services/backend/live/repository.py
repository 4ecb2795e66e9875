"""The usage rows of requests that have not ended: statements on the connection that they are given."""

from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.live.models import Service


@dataclass(frozen=True, slots=True)
class RunningRow:
    """A request that has not ended. `started_ms`: Unix milliseconds."""

    request_id: str
    started_ms: int
    key_id: str
    service: Service
    lane: str
    path: str
    audio_ms: int
    tags: list[str]


@dataclass(frozen=True, slots=True)
class LaneRow:
    """What runs on a lane of one service. `oldest_ms`: when its oldest request began, Unix milliseconds."""

    lane: str
    service: Service
    streams: int
    projects: int
    audio_ms: int
    oldest_ms: int


# `rank = 0` is what the partial index usage_requests_open holds: few rows at any time.
RUNNING: Final = Query(
    RunningRow,
    """
    select request_id::text, started_ms, key_id::text, service, lane, path, audio_ms, tags
    from usage_requests where rank = 0 and project_id = $1
    order by started_ms desc, request_id desc limit $2
    """,
)
LANES: Final = Query(
    LaneRow,
    """
    select lane, service, count(*) as streams, count(distinct project_id) as projects,
        sum(audio_ms)::bigint as audio_ms, min(started_ms) as oldest_ms
    from usage_requests where rank = 0 group by lane, service order by lane, service
    """,
)


async def running(connection: Connection, project_id: str, limit: int) -> list[RunningRow]:
    """A project's requests that have not ended, newest first."""
    return await RUNNING.all(connection, project_id, limit)


async def lanes(connection: Connection) -> list[LaneRow]:
    """How much runs on each lane, for each service."""
    return await LANES.all(connection)
