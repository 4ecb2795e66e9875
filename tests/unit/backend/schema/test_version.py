"""Which versions of the schema are good; tests/integration/backend/test_schema_version.py looks at real ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from aldea.postgres import Database, DatabaseUnavailable
from aldea.service.lifecycle import NotReady
from backend.schema import version as schema_version
from backend.schema.version import NEEDED, SchemaVersion


class Responses:
    """A database that returns the next of these for each query; an error is raised."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Responses"]:
        yield self

    async def fetchval(self, _statement: str) -> Any:
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response


def looking(*responses: Any) -> SchemaVersion:
    return SchemaVersion(cast("Database", Responses(*responses)))


@pytest.mark.parametrize("good", [NEEDED, "9999"])
async def test_a_schema_that_is_new_enough_is_looked_at_once(good: str) -> None:
    version = looking(good)
    await version.check()
    await version.check()  # there is no second response


@pytest.mark.parametrize(
    "found", ["0001", None, asyncpg.UndefinedTableError("no table"), asyncpg.InsufficientPrivilegeError("no right")]
)
async def test_an_older_one_says_what_is_needed(found: Any) -> None:
    with pytest.raises(NotReady, match=rf"this release needs {NEEDED}: run make deploy-migrate"):
        await looking(found).check()


async def test_the_watch_goes_on_until_the_schema_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_version, "LOOK_AGAIN_SECONDS", 0)
    responses = Responses("0001", DatabaseUnavailable("unavailable"), NEEDED)
    await SchemaVersion(cast("Database", responses)).watch()
    assert responses.responses == []
