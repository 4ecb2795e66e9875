"""The status page: read once in some seconds however many look at it, fed by the canary, explained by operators."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from aiohttp import web

from aldea.objectives import FINAL_LAG, FIRST_WORDS, USAGE_LAG
from aldea.postgres import Connection, Database
from backend.api.access import Caller, KeyCaller
from backend.api.endpoint import Actor
from backend.api.throttle import Rule, Throttle
from backend.changes import Changes
from backend.status import models, repository, summary
from backend.status.errors import IncidentClosed, IncidentGone, NoCanary
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.status")

# How old the page may be: customers look at it while something is wrong, all at once.
FRESH_SECONDS: Final = 15.0
# A canary keeps what it could not report for a day.
REPORTED_LATE: Final = timedelta(hours=25)
MOST_REPORTS: Final = Rule("canary", 60, 60)
# Days that the page shows, and some more.
KEPT: Final = timedelta(days=100)
SWEEP_SECONDS: Final = 3600.0
SWEPT: Final = 10_000
# On the public page, and in the operators' list.
SHOWN_INCIDENTS: Final = 20
LISTED_INCIDENTS: Final = 100
MOST_UPDATES: Final = 50


class StatusService:
    """Everything about the status page."""

    def __init__(
        self, database: Database, changes: Changes, throttle: Throttle, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock`: seconds that only ever rise."""
        self._database = database
        self._changes = changes
        self._throttle = throttle
        self._clock = clock
        self._reading = asyncio.Lock()
        self._read: models.Status | None = None
        self._read_at = 0.0

    async def status(self) -> models.Status:
        """How the platform is, at most `FRESH_SECONDS` old. Raises DatabaseUnavailable."""
        async with self._reading:
            if self._read is None or self._clock() - self._read_at >= FRESH_SECONDS:
                self._read = await self._look()
                self._read_at = self._clock()
            return self._read

    async def measured(self, since: datetime) -> Mapping[str, float]:
        """By objective the part of the canary's checks since then that were good; those without data are absent.

        Raises DatabaseUnavailable.
        """
        async with self._database.connection() as connection:
            rows = await repository.days(connection, since, since, *_promised())
        return summary.measured(rows)

    async def _look(self) -> models.Status:
        now = datetime.now(UTC)
        first = summary.first_day(now)
        async with self._database.connection() as connection:
            days = await repository.days(connection, first, now - summary.RECENT, *_promised())
            updates = await repository.incidents(connection, first, SHOWN_INCIDENTS)
        return summary.status(now, days, summary.as_incidents(updates))

    async def record(self, caller: Caller, runs: Sequence[models.CanaryRun]) -> int:
        """Store what a canary saw; how many runs were new. Raises NoCanary, TooManyRequests."""
        if not isinstance(caller, KeyCaller):
            raise NoCanary("The canary reports with an API key.")
        await self._throttle.take(MOST_REPORTS.of(caller.key_id))
        async with self._database.connection() as connection:
            if not await repository.owned_by_operator(connection, caller.project_id):
                raise NoCanary("Only a key of a project that an operator of the platform owns may report runs.")
            return await repository.record(connection, caller.key_id, runs, REPORTED_LATE)

    async def incidents(self) -> list[models.Incident]:
        """The newest incidents, the open ones first."""
        async with self._database.connection() as connection:
            rows = await repository.incidents(connection, datetime(2000, 1, 1, tzinfo=UTC), LISTED_INCIDENTS)
        return summary.as_incidents(rows)

    async def open(self, actor: Actor, wanted: models.OpenIncident) -> models.Incident:
        """Publish an incident."""
        components = list(dict.fromkeys(wanted.components))
        async with self._changes.transaction(actor) as change:
            incident_id = await repository.open_incident(change.connection, wanted.title, wanted.impact, components)
            await repository.add_update(change.connection, incident_id, "investigating", wanted.message)
            change.unmirrored("incidents", "incident.open", incident_id, title=wanted.title, impact=wanted.impact)
            found = await self._one(change.connection, incident_id)
        self._read = None
        return found

    async def update(self, actor: Actor, incident_id: str, wanted: models.UpdateIncident) -> models.Incident:
        """Say more of an incident, or that it is over. Raises IncidentGone, IncidentClosed."""
        async with self._changes.transaction(actor) as change:
            row = await repository.lock_incident(change.connection, incident_id)
            if row is None:
                raise IncidentGone("No such incident. The list of incidents shows their ids.")
            if row.resolved is not None:
                raise IncidentClosed("This incident is resolved. Open another one.")
            # The last one that it may have is that it is over.
            if row.updates >= MOST_UPDATES and wanted.state != "resolved":
                raise IncidentClosed(f"This incident has {MOST_UPDATES} updates. Resolve it, and open another one.")
            await repository.add_update(change.connection, incident_id, wanted.state, wanted.message)
            if wanted.state == "resolved":
                await repository.resolve(change.connection, incident_id)
            change.unmirrored("incidents", f"incident.{wanted.state}", incident_id)
            found = await self._one(change.connection, incident_id)
        self._read = None
        return found

    async def _one(self, connection: Connection, incident_id: str) -> models.Incident:
        rows = await repository.incident(connection, incident_id)
        [found] = summary.as_incidents(rows)
        return found


def _promised() -> tuple[float, float, float]:
    assert FIRST_WORDS.seconds is not None
    assert FINAL_LAG.seconds is not None
    assert USAGE_LAG.seconds is not None
    return FIRST_WORDS.seconds, FINAL_LAG.seconds, USAGE_LAG.seconds


class Forgetting(Sweeping):
    """Deletes runs that no page shows any more; several backends may do so at once."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            name="canary-runs", every=SWEEP_SECONDS, again=SWEEP_SECONDS, failure="canary runs not deleted", log=log
        )
        self._database = database

    async def sweep_now(self) -> int:
        async with self._database.connection() as connection:
            return await repository.forget_runs(connection, datetime.now(UTC) - KEPT, SWEPT)


STATUS: Final = web.AppKey("status", StatusService)
