"""Migrations against a real PostgreSQL: up, down, up; many at once; a held lock."""

import asyncio

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from backend import migrate as subject
from backend.migrate import alembic_config, migrate, newest_revision
from tests.integration.conftest import migrate_in_a_process, settings_for

SHAPE = """
    select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
        || coalesce(column_default, '')
    from information_schema.columns where table_schema = 'public'
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace
    union all select pg_get_functiondef(oid) || has_function_privilege('public', oid, 'execute') from pg_proc
        where pronamespace = 'public'::regnamespace
    order by 1
"""


async def shape(url: str) -> list[str]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return [row[0] for row in await connection.fetch(SHAPE, timeout=10)]
    finally:
        await connection.close(timeout=5)


async def test_up_then_down_to_nothing_then_up_gives_the_same_schema(empty_database: str) -> None:
    settings = settings_for(empty_database)
    await migrate(settings, "up")
    first = await shape(empty_database)
    assert any(line.startswith("api_keys.sha256") for line in first)
    await migrate(settings, "down", "base")
    # Alembic's own bookkeeping is all that stays.
    assert [line for line in await shape(empty_database) if "alembic_version" not in line] == []
    await migrate(settings, "up")
    assert await shape(empty_database) == first


async def test_each_migration_can_be_undone_alone(empty_database: str) -> None:
    settings = settings_for(empty_database)
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    before = await shape(empty_database)
    for revision in reversed(revisions):
        await migrate(settings, "up", revision)
        after = await shape(empty_database)
        assert after != before
        await migrate(settings, "down")
        assert [line for line in await shape(empty_database) if "alembic_version" not in line] == before
        await migrate(settings, "up", revision)
        assert await shape(empty_database) == after
        before = [line for line in after if "alembic_version" not in line]


async def test_many_tasks_that_migrate_at_once_all_succeed(empty_database: str) -> None:
    assert await asyncio.gather(*(migrate_in_a_process(empty_database) for _ in range(4))) == [0] * 4
    connection = await asyncpg.connect(empty_database, timeout=10)
    try:
        assert await connection.fetchval("select version_num from alembic_version") == newest_revision()
    finally:
        await connection.close(timeout=5)


async def test_a_migration_that_cannot_get_its_lock_fails_instead_of_blocking_the_table(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "LOCK_TIMEOUT_SECONDS", 0.2)
    settings = settings_for(empty_database)
    await migrate(settings, "up")
    before = await shape(empty_database)
    connection = await asyncpg.connect(empty_database, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("lock table audit_log in access share mode")
            with pytest.raises(Exception, match="lock timeout"):
                await migrate(settings, "down", "base")
        # What the failing migration had begun is gone; those before it were undone whole.
        await migrate(settings, "up")
        assert await shape(empty_database) == before
    finally:
        await connection.close(timeout=5)
