"""A backend is ready once the schema is new enough for it; a newer one is good, for a rollback."""

import pytest

from aldea.postgres import DatabaseUnavailable, open_database
from aldea.service.lifecycle import NotReady
from aldea.settings import read
from backend.cli import CommandSettings
from backend.schema.migrate import migrate
from backend.schema.roles import BACKEND
from backend.schema.version import SchemaVersion
from tests.integration.conftest import acting_as


def settings(url: str) -> CommandSettings:
    return read(CommandSettings, database_url=url)


async def test_an_older_schema_is_not_ready_until_it_is_migrated(empty_database: str) -> None:
    async with open_database(settings(empty_database), "test") as database:
        version = SchemaVersion(database)
        with pytest.raises(NotReady, match=r"at no revision, this release needs .* make deploy-migrate"):
            await version.check()
        await migrate(settings(empty_database), revision="0006")
        with pytest.raises(NotReady, match=r"at 0006, this release needs"):
            await version.check()
        await migrate(settings(empty_database))
        await version.check()
        await version.watch()  # ends by itself


async def test_the_services_own_role_may_look_and_a_newer_schema_is_good(empty_database: str) -> None:
    await migrate(settings(empty_database))
    async with open_database(settings(empty_database), "owner") as owner, owner.connection() as connection:
        await connection.execute("update alembic_version set version_num = '0999'")
    async with open_database(settings(acting_as(empty_database, BACKEND)), "test") as database:
        await SchemaVersion(database).check()


async def test_without_a_database_nothing_is_known() -> None:
    async with open_database(settings("postgresql://u:p@127.0.0.1:1/none"), "test") as database:
        with pytest.raises(DatabaseUnavailable):
            await SchemaVersion(database).check()
