from typing import Any

import asyncpg
import pytest

from onebox import stores
from onebox.given import database
from onebox.given.errors import Unusable

GOOD: dict[str, Any] = {
    "major": 18,
    "version": "18.1 (Debian 18.1-1)",
    "encoding": "UTF8",
    "replica": False,
    "creates": True,
    "owns": True,
    "makes_roles": True,
    "has_roles": False,
}


def test_a_postgresql_that_will_do_is_named() -> None:
    assert database.verdict(GOOD, "db:5432", "me") == "PostgreSQL 18.1 on db:5432"
    assert database.verdict({**GOOD, "makes_roles": False, "has_roles": True}, "db:5432", "me")


@pytest.mark.parametrize(
    ("differs", "words"),
    [
        ({"major": 15, "version": "15.14"}, "PostgreSQL 15.14 on db:5432 is too old; needed: 18 or later"),
        ({"replica": True}, "is a replica, which takes no writes"),
        ({"encoding": "LATIN1"}, "is encoded in LATIN1; needed: UTF8"),
        ({"creates": False}, "'me' may not create tables"),
        ({"owns": False}, "'me' may not create tables"),
        ({"makes_roles": False}, "may not create the roles imp_backend and sqs_updater"),
    ],
)
def test_one_that_will_not_do_is_one_line(differs: dict[str, Any], words: str) -> None:
    with pytest.raises(Unusable) as refused:
        database.verdict({**GOOD, **differs}, "db:5432", "me")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_a_wrong_password_a_wrong_user_and_a_wrong_database_are_distinguished(
    postgres_server: stores.Postgres,
) -> None:
    good = postgres_server.url
    password = good.split(":")[2].partition("@")[0]
    for url, words in (
        (good.replace(password, "wr0ng"), "does not let the user 'postgres' in with this password"),
        (good.replace("postgres:", "nobody:"), "does not let the user 'nobody' in with this password"),
        (good.replace("/aldea", "/other"), "has no database 'other'. Create it: createdb other"),
    ):
        with pytest.raises(Unusable) as refused:
            await database.check(url)
        assert words in str(refused.value)
        assert password not in str(refused.value)
        assert "wr0ng" not in str(refused.value)


async def test_a_user_without_rights_is_refused_before_a_migration_fails(postgres_server: stores.Postgres) -> None:
    connection = await asyncpg.connect(postgres_server.url)
    try:
        await connection.execute("create role looker login password 'look'")
        where = postgres_server.url.rpartition("@")[2]
        with pytest.raises(Unusable, match="'looker' may not create tables"):
            await database.check(f"postgresql://looker:look@{where}")
    finally:
        await connection.execute("drop role looker")
        await connection.close()
