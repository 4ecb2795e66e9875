"""The roles that services sign in as: made by the migration, enough for what each service does, and no more."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from aldea.postgres import open_database
from aldea.usage.reading import Rank
from backend.schema.migrate import migrate
from backend.schema.roles import BACKEND, FUNCTIONS, SQS_UPDATER, TABLES
from backend.usage.partitions import Partitions
from backend.usage.period import day_of
from onebox import stores
from sqs_updater.writer import Merged, Writer
from tests.integration.conftest import acting_as, administer, database_named, migrate_in_a_process, settings_for
from tests.readings import STARTED_MS, reading

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url, timeout=60, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close(timeout=60)


async def test_every_table_has_its_rights_written_down_and_no_role_has_others(database_url: str) -> None:
    async with connected(database_url) as connection:
        tables = [
            row[0]
            for row in await connection.fetch(
                "select relname::text from pg_class"
                " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')"
            )
        ]
        unnamed = {name for name in tables if not name.startswith("usage_requests_2")}
        named = TABLES[BACKEND].keys() | TABLES[SQS_UPDATER].keys()
        assert unnamed == named - {"revisions"}, "say in backend/schema/roles.py who may use it"
        for role, rights in TABLES.items():
            for table in tables:
                held = {
                    privilege
                    for privilege in PRIVILEGES
                    if await connection.fetchval("select has_table_privilege($1, $2, $3)", role, table, privilege)
                }
                assert held == rights.get(table, frozenset()), f"{role} on {table}"
        functions = await connection.fetch(
            "select p.oid::regprocedure::text from pg_proc p where pronamespace = 'public'::regnamespace and prosecdef"
        )
        assert {row[0] for row in functions} == set(FUNCTIONS[BACKEND])
        for row in functions:
            may = {role: await connection.fetchval("select has_function_privilege($1, $2, 'execute')", role, row[0])
                   for role in TABLES}  # fmt: skip
            assert may == {BACKEND: True, SQS_UPDATER: False}


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (
            BACKEND,
            "insert into usage_daily values (uuidv7(), now(), uuidv7(), 'streaming', '/v1/listen', 1, 1, 1, 1, 1)",
        ),
        (BACKEND, "update usage_requests set audio_ms = 0"),
        (BACKEND, "delete from usage_requests"),
        (BACKEND, "update audit_log set action = ''"),
        (BACKEND, "delete from audit_log"),
        (BACKEND, "update ledger_entries set amount_micros = 1"),
        (BACKEND, "update prices set micros_per_hour = 0"),
        (BACKEND, "drop table usage_daily"),
        (BACKEND, "create table mine (n integer)"),
        (BACKEND, "alter table users add column n integer"),
        (BACKEND, "create role mine"),
        (SQS_UPDATER, "select * from users"),
        (SQS_UPDATER, "select * from api_keys"),
        (SQS_UPDATER, "select * from projects"),
        (SQS_UPDATER, "update billing_accounts set plan = 'free'"),
        (
            SQS_UPDATER,
            "insert into prices (plan, service, micros_per_hour, effective_from) values ('free', 'x', 0, now())",
        ),
        (SQS_UPDATER, "select * from ledger_entries"),
        (SQS_UPDATER, "delete from usage_daily"),
        (SQS_UPDATER, "truncate usage_requests"),
        (SQS_UPDATER, "select make_usage_partition('2030-01-01')"),
        (SQS_UPDATER, "select drop_usage_before('2020-01-01')"),
        (SQS_UPDATER, "create table mine (n integer)"),
    ],
)
async def test_what_a_service_does_not_do_its_role_may_not_do(database_url: str, role: str, statement: str) -> None:
    async with connected(acting_as(database_url, role)) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_the_updater_writes_usage_and_the_backend_reads_it_and_keeps_its_partitions(database_url: str) -> None:
    async with open_database(settings_for(acting_as(database_url, SQS_UPDATER)), "test") as database:
        writer = Writer(database)
        await writer.probe()
        one = reading(audio_ms=7)
        assert await writer.merge([one]) == Merged(1, 0, 0)
        assert await writer.merge([one]) == Merged(0, 1, 0)
        assert await writer.merge([reading(request_id=one.request_id, seq=9, audio_ms=9, rank=Rank.FINAL)]) == (
            Merged(1, 0, 0)
        )
    async with open_database(settings_for(acting_as(database_url, BACKEND)), "test") as database:
        await Partitions(database, retention_months=1).sweep(day_of(STARTED_MS))
        async with database.connection() as connection:
            assert await connection.fetchval("select sum(audio_ms) from usage_daily") == 9
            assert await connection.fetchval("select tableoid::regclass::text from usage_requests") == (
                "usage_requests_202603"
            )


async def test_the_roles_can_sign_in_and_nothing_else_is_special_about_them(
    postgres_server: stores.Postgres, database_url: str
) -> None:
    async with connected(database_url) as owner:
        rows = await owner.fetch("select * from pg_roles where rolname = any($1)", list(TABLES))
        for row in rows:
            assert row["rolcanlogin"]
            special = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
            assert not any(row[name] for name in special)
        await owner.execute(f"alter role {BACKEND} password 'of this test'")
    try:
        url = database_url.split("@")[1]
        async with connected(f"postgresql://{BACKEND}:of%20this%20test@{url}") as connection:
            assert await connection.fetchval("select session_user::text") == BACKEND
            assert await connection.fetchval("select count(*) from projects") == 0
    finally:
        await administer(postgres_server, f"alter role {BACKEND} password null")


async def test_migrating_again_revokes_surplus_rights_and_grants_missing_ones(database_url: str) -> None:
    async with connected(database_url) as owner:
        await owner.execute(f"grant delete, truncate on audit_log to {BACKEND}")
        await owner.execute(f"grant select on users to {SQS_UPDATER}")
        await owner.execute(f"revoke select on projects from {BACKEND}")
        await owner.execute(f"revoke execute on function make_usage_partition from {BACKEND}")
        await migrate(settings_for(database_url))
    await test_every_table_has_its_rights_written_down_and_no_role_has_others(database_url)


@pytest.fixture
async def managed_database(postgres_server: stores.Postgres) -> AsyncIterator[str]:
    """A database whose owner is no superuser, as RDS' master user is none, and a role `rds_iam` that it may grant."""
    name, password = f"m{uuid.uuid4().hex}", uuid.uuid4().hex
    await administer(postgres_server, f"create role {name} login createrole createdb password '{password}'")
    await administer(postgres_server, f"create database {name} owner {name}")
    await administer(postgres_server, "create role rds_iam")
    await administer(postgres_server, f"grant rds_iam to {name} with admin option")
    host = postgres_server.url.split("@")[1].partition("/")[0]
    yield f"postgresql://{name}:{password}@{host}/{name}"
    await administer(postgres_server, f"drop database {name} with (force)")
    await administer(postgres_server, "drop role rds_iam")
    for role in TABLES:
        await administer(postgres_server, f"revoke all on schema public from {role}")
    await administer(postgres_server, f"drop role {name}")


async def test_a_master_user_that_is_no_superuser_makes_roles_that_sign_in_by_iam(managed_database: str) -> None:
    settings = settings_for(managed_database)
    await migrate(settings)
    await migrate(settings, "down", "base")
    await migrate(settings)
    async with connected(managed_database) as owner:
        for role in TABLES:
            assert await owner.fetchval("select pg_has_role($1, 'rds_iam', 'member')", role)


async def test_databases_of_one_server_that_migrate_at_once_make_the_roles_once(
    postgres_server: stores.Postgres,
) -> None:
    names = [f"t{uuid.uuid4().hex}" for _ in range(3)]
    for name in names:
        await administer(postgres_server, f"create database {name}")
    try:
        urls = [database_named(postgres_server, name) for name in names]
        assert await asyncio.gather(*map(migrate_in_a_process, urls)) == [0, 0, 0]
        async with connected(postgres_server.url) as connection:
            assert await connection.fetchval("select count(*) from pg_roles where rolname = any($1)", list(TABLES)) == 2
    finally:
        for name in names:
            await administer(postgres_server, f"drop database {name} with (force)")
