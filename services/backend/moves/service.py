"""Moves a project to another billing account, in one transaction: its limits, its balance and its bills from now on."""

from typing import Final

import asyncpg
from aiohttp import web

from backend.api.endpoint import Actor
from backend.changes import Changes
from backend.moves.errors import AccountGone, UsageLocked
from backend.projects import repository as projects
from backend.projects.errors import no_such_project
from backend.statements import repository as statements
from backend.statements.service import StatementService


class MoveService:
    """Moves of projects between billing accounts."""

    def __init__(self, changes: Changes, statements_of: StatementService) -> None:
        self._changes = changes
        self._statements = statements_of

    async def move(self, actor: Actor, project_id: str, account_id: str) -> tuple[int, bool]:
        """Move a project; the micro-dollars that moved along, and whether Redis knows already.

        Months that are over are closed for both accounts before, so what their statements say stays where it is. Moved
        to where it is, it only writes Redis again. Raises ProjectGone, AccountGone, UsageLocked.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            if not await projects.lock(connection, project_id):
                raise no_such_project()
            before = await statements.of_project(connection, project_id)
            assert before is not None
            if not await connection.fetchval(
                "select exists (select from billing_accounts where account_id = $1)", account_id
            ):
                raise AccountGone(f"account_id: got {account_id}, and no billing account has that id.")
            if before == account_id:
                change.repeat_project(project_id)
                return 0, change.propagated
            # Closing is nobody's change: whoever reads a statement does it. The charges have their own tables.
            change.exempt("statements", "statement_lines", "account_spend")
            for each in sorted((before, account_id)):
                await self._statements.close_due(connection, each)
            try:
                micros = int(await connection.fetchval("select move_project($1, $2)", project_id, account_id))
            except asyncpg.LockNotAvailableError:
                raise UsageLocked("The usage is locked by maintenance. Nothing was moved; try again.") from None
            change.project(project_id, "project.move", before=before, account_id=account_id, moved_micros=micros)
        return micros, change.propagated


MOVES: Final = web.AppKey("moves", MoveService)
