"""Operators' operations on any project. Each change is one transaction, then the write to Redis, then the response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from aldea.postgres import Connection, Database
from backend.api.endpoint import Actor
from backend.changes import Changes
from backend.live.leases import Leases
from backend.operators import repository
from backend.projects import repository as projects
from backend.projects.errors import no_such_project


@dataclass(frozen=True, slots=True)
class Operated:
    """A project with what it has used this month, in ms, and runs now (None: Redis is unavailable)."""

    row: repository.OperatedRow
    audio_ms: int
    running: int | None


class OperatorService:
    """All projects, whoever owns them."""

    def __init__(self, database: Database, changes: Changes, leases: Leases) -> None:
        self._database = database
        self._changes = changes
        self._leases = leases

    async def projects(
        self, *, containing: str | None, state: str | None, before: str | None, limit: int
    ) -> tuple[list[Operated], str | None]:
        """A page of projects, newest first, and what to go on before (None: these are all)."""
        async with self._database.connection() as connection:
            rows = await repository.page(connection, containing=containing, state=state, before=before, limit=limit + 1)
            used = await _used(connection, rows[:limit])
        return await self._operated(rows[:limit], used), rows[limit - 1].project_id if len(rows) > limit else None

    async def project(self, project_id: str) -> Operated:
        """One project. Raises ProjectGone."""
        async with self._database.connection() as connection:
            row = await repository.one(connection, project_id)
            if row is None:
                raise no_such_project()
            used = await _used(connection, [row])
        [found] = await self._operated([row], used)
        return found

    async def set_limits(self, actor: Actor, project_id: str, changes: Mapping[str, int | None]) -> bool:
        """Change some of a project's limits (None lifts one); whether Redis knows already. Raises ProjectGone."""
        async with self._changes.transaction(actor) as change:
            row = await _locked(change.connection, project_id)
            changed = {name: limit for name, limit in changes.items() if row.limits[name] != limit}
            if changed:
                before = {name: row.limits[name] for name in changed}
                await projects.set_limits(change.connection, project_id, state=row.state, **row.limits | changed)
                change.project(project_id, "project.limits", limits=changed, before=before)
            else:
                change.repeat_project(project_id)
        return change.propagated

    async def suspend(self, actor: Actor, project_id: str, reason: str) -> bool:
        """Suspend a project; whether Redis knows already. Raises ProjectGone."""
        return await self._set_state(actor, project_id, "suspended", "project.suspend", reason=reason)

    async def resume(self, actor: Actor, project_id: str) -> bool:
        """Resume a suspended project; whether Redis knows already. Raises ProjectGone."""
        return await self._set_state(actor, project_id, "active", "project.resume")

    async def _set_state(self, actor: Actor, project_id: str, state: str, action: str, **detail: Any) -> bool:
        async with self._changes.transaction(actor) as change:
            row = await _locked(change.connection, project_id)
            if row.state != state:
                await projects.set_limits(change.connection, project_id, state=state, **row.limits)
                change.project(project_id, action, **detail)
            else:
                change.repeat_project(project_id)
        return change.propagated

    async def _operated(self, rows: Sequence[repository.OperatedRow], used: Mapping[str, int]) -> list[Operated]:
        running = await self._leases.counts([row.project_id for row in rows])
        return [
            Operated(row, used.get(row.project_id, 0), None if running is None else running[row.project_id])
            for row in rows
        ]


async def _locked(connection: Connection, project_id: str) -> projects.Limited:
    row = await repository.lock(connection, project_id)
    if row is None:
        raise no_such_project()
    return row


async def _used(connection: Connection, rows: Sequence[repository.OperatedRow]) -> dict[str, int]:
    month = datetime.now(UTC).replace(day=1).date()
    return await repository.audio_ms_since(connection, [row.project_id for row in rows], month)


OPERATORS: Final = web.AppKey("operators", OperatorService)
