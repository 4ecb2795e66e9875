"""What operators look at: the fleet as the proxies report it, what runs badly, and any one request."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from aldea.objectives import OBJECTIVES
from aldea.postgres import Database
from aldea.redis.link import RedisLink
from backend.fleet import models, repository, views
from backend.fleet.errors import RequestGone
from backend.status.service import StatusService

SLOWEST: Final = 10
FOUND_KEYS: Final = 50
BUDGET_DAYS: Final = 30


class FleetService:
    """The operators' console."""

    def __init__(self, database: Database, link: RedisLink, status: StatusService) -> None:
        self._database = database
        self._link = link
        self._status = status

    async def fleet(self) -> models.Fleet:
        """The platform now. Raises DatabaseUnavailable."""
        seen = await views.read(self._link)
        async with self._database.connection() as connection:
            slow = await repository.slowest(connection, SLOWEST)
            lag_ms = await repository.canary_usage_lag_ms(connection)
        measured = await self._status.measured(datetime.now(UTC) - timedelta(days=BUDGET_DAYS))
        of_proxies = seen.views if seen is not None else []
        return models.Fleet(
            reported=seen is not None,
            servers=views.servers(of_proxies),
            tasks=views.tasks(of_proxies),
            failovers=views.failovers(of_proxies),
            slowest=[
                models.SlowStream(
                    request_id=row.request_id,
                    project_id=row.project_id,
                    project=row.project,
                    lane=row.lane,
                    created=datetime.fromtimestamp(row.started_ms / 1000, UTC),
                    first_word_ms=row.first_word_ms,
                )
                for row in slow
            ],
            budgets=[
                models.BudgetLeft(
                    objective=objective.name,
                    title=objective.title,
                    promise=objective.promise,
                    left=left(measured.get(objective.name), objective.budget),
                )
                for objective in OBJECTIVES
            ],
            readings_waiting=None if seen is None else seen.readings_waiting,
            oldest_reading_seconds=None if seen is None else seen.oldest_seconds,
            usage_lag_ms=lag_ms,
        )

    async def story(self, request_id: str) -> repository.StoryRow:
        """One request, whoever's it is. Raises RequestGone."""
        async with self._database.connection() as connection:
            row = await repository.story(connection, request_id)
        if row is None:
            raise RequestGone("No such request. A new one has its row some seconds after its start.")
        return row

    async def keys_ending(self, last4: str) -> Sequence[repository.FoundRow]:
        """The newest keys that end so."""
        async with self._database.connection() as connection:
            return await repository.keys_ending(connection, last4, FOUND_KEYS)


def left(measured: float | None, budget: float) -> float | None:
    """The part of an error budget that is left where so much was good; below zero if more failed than may."""
    return None if measured is None else 1 - (1 - measured) / budget


FLEET: Final = web.AppKey("fleet", FleetService)
