"""Queries of the audit log."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from aldea.postgres import Database
from backend.audit import repository
from backend.audit.repository import AuditRow


class AuditService:
    """The audit logs of projects; they are written by whoever makes a change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, project_id: str, before: int | None, limit: int) -> tuple[Sequence[AuditRow], int | None]:
        """A project's entries older than `before`, newest first, and what to go on before (None: these are all)."""
        async with self._database.connection() as connection:
            rows = await repository.page(connection, project_id, before, limit + 1)
        return rows[:limit], rows[limit - 1].audit_id if len(rows) > limit else None


AUDIT: Final = web.AppKey("audit", AuditService)
