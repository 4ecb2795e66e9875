"""Operators' operations on a project's credit. A credit is never changed: another one corrects it."""

from typing import Final

import asyncpg
from aiohttp import web

from aldea.postgres import Database
from backend.api.endpoint import Actor
from backend.audit import repository as audit
from backend.credits import repository
from backend.credits.errors import CreditTaken
from backend.projects import repository as projects
from backend.projects.errors import no_such_project

# As many as a page shows: a project gets a few in a year.
SHOWN: Final = 200


class CreditService:
    """The credits of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, project_id: str) -> list[asyncpg.Record]:
        """A project's credits, newest first. Raises ProjectGone."""
        async with self._database.connection() as connection:
            if await projects.by_id(connection, project_id) is None:
                raise no_such_project()
            return await repository.newest(connection, project_id, SHOWN)

    async def grant(
        self, actor: Actor, project_id: str, credit_id: str, amount_micros: int, note: str
    ) -> asyncpg.Record:
        """Credit a project once, however often it is requested with the same id. Raises ProjectGone, CreditTaken."""
        async with self._database.transaction() as connection:
            if await projects.by_id(connection, project_id) is None:
                raise no_such_project()
            made = await repository.insert(connection, project_id, amount_micros, note, credit_id)
            if made is not None:
                await audit.record(
                    connection,
                    actor,
                    "project.credit",
                    project_id,
                    project_id=project_id,
                    credit_id=credit_id,
                    amount_micros=amount_micros,
                    note=note,
                )
                return made
            found = await repository.by_id(connection, credit_id)
        if found is None or (found["project_id"], found["amount_micros"], found["note"]) != (
            project_id,
            amount_micros,
            note,
        ):
            raise CreditTaken(f"credit_id: {credit_id} is another credit's. Choose a new UUID for a new credit.")
        return found


CREDITS: Final = web.AppKey("credits", CreditService)
