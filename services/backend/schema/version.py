"""Whether the database has the schema that this code was written for. A step of the release migrates it, not this.

A process starts without a database, and before the migration too; it is only not ready until both are there. A newer
schema is good: migrations expand first and contract in a later release, so that a rollback runs on what it finds.
"""

import asyncio
from pathlib import Path
from typing import Final

import asyncpg
import structlog

from aldea.errors import ApiError
from aldea.postgres import Database
from aldea.service.lifecycle import NotReady

log = structlog.get_logger("backend.schema.version")

# Revisions are numbered, and a file's name begins with its own; reading them with Alembic takes a second.
_VERSIONS: Final = Path(__file__).resolve().parents[1] / "migrations" / "versions"
NEEDED: Final = max(path.name.partition("_")[0] for path in _VERSIONS.glob("0*.py"))
LOOK_AGAIN_SECONDS: Final = 10.0


class SchemaVersion:
    """Checks the version until it is new enough; it does not get older while a process runs."""

    def __init__(self, database: Database) -> None:
        """`database`: as the service's own role, which may read the version."""
        self._database = database
        self._fits = False

    async def check(self) -> None:
        """Raise NotReady while the schema is older than this code, DatabaseUnavailable without a database."""
        if self._fits:
            return
        async with self._database.connection() as connection:
            try:
                found = await connection.fetchval("select max(version_num) from alembic_version")
            except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
                found = None  # never migrated, or not since this version's release
        if found is None or found < NEEDED:
            raise NotReady(
                f"the database's schema is at {found or 'no revision'}, this release needs {NEEDED}: run make "
                "deploy-migrate (python -m backend migrate)"
            )
        self._fits = True

    async def watch(self) -> None:
        """Log what is missing, until nothing is."""
        while True:
            try:
                await self.check()
            except NotReady as error:
                log.error("schema too old", error=str(error))  # noqa: TRY400 - its text says all
            except (ApiError, asyncpg.PostgresError) as error:
                log.warning("schema version not readable yet", error=f"{type(error).__name__}: {error}")
            else:
                return
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
