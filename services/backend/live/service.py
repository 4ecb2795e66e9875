"""What runs now: counted by the leases in Redis, described by the rows in PostgreSQL, which follow within seconds."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from aldea.postgres import Database
from backend.live import repository
from backend.live.leases import Leases
from backend.live.repository import LaneRow, RunningRow

# What one page can show; a project may run thousands.
MAX_SHOWN: Final = 100


class LiveService:
    """Running requests."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    async def of_project(self, project_id: str) -> tuple[int, Sequence[RunningRow]]:
        """How many requests of a project run, and the newest of them.

        While Redis is unavailable: both from PostgreSQL.
        """
        async with self._database.connection() as connection:
            rows = await repository.running(connection, project_id, MAX_SHOWN)
        count = await self._leases.count(project_id)
        held = await self._leases.held(project_id, [row.request_id for row in rows])
        if count is None or held is None:
            return len(rows), rows
        return count, [row for row in rows if row.request_id in held]

    async def by_lane(self) -> Sequence[LaneRow]:
        """How much runs on each lane, for each service."""
        async with self._database.connection() as connection:
            return await repository.lanes(connection)


LIVE: Final = web.AppKey("live", LiveService)
