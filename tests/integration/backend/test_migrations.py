"""Migrations against a real PostgreSQL: up, down, up; many at once; a held lock."""

import asyncio
from decimal import Decimal

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from backend.schema import migrate as subject
from backend.schema.migrate import alembic_config, migrate
from backend.schema.version import NEEDED
from tests.integration.conftest import migrate_in_a_process, settings_for

SHAPE = """
    select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
        || coalesce(column_default, '') || coalesce(generation_expression, '')
    from information_schema.columns where table_schema = 'public'
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace
    union all select pg_get_functiondef(oid) || has_function_privilege('public', oid, 'execute') from pg_proc
        where pronamespace = 'public'::regnamespace
    order by 1
"""


async def shape(url: str) -> list[str]:
    connection = await asyncpg.connect(url, timeout=60)
    try:
        return [row[0] for row in await connection.fetch(SHAPE, timeout=60)]
    finally:
        await connection.close(timeout=60)


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
    connection = await asyncpg.connect(empty_database, timeout=60)
    try:
        assert await connection.fetchval("select version_num from alembic_version") == NEEDED
    finally:
        await connection.close(timeout=60)


async def test_a_migration_that_cannot_get_its_lock_fails_instead_of_blocking_the_table(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(empty_database)
    await migrate(settings, "up")
    before = await shape(empty_database)
    connection = await asyncpg.connect(empty_database, timeout=60)
    try:
        async with connection.transaction():
            await connection.execute("lock table audit_log in access share mode")
            with monkeypatch.context() as patched, pytest.raises(Exception, match="lock timeout"):
                patched.setattr(subject, "LOCK_TIMEOUT_SECONDS", 0.2)
                await migrate(settings, "down", "base")
        # What the failing migration had begun is undone; those before it were undone as a whole.
        await migrate(settings, "up")
        assert await shape(empty_database) == before
    finally:
        await connection.close(timeout=60)


# What a database of revision 0005 holds: a project of Ann's with a key that made another and rotated itself, invites by
# a person and by a key, and totals of a month that was dropped.
BEFORE_MAKERS = """
    insert into users (user_id, email, email_key, name, password_hash) values
        ('00000000-0000-7000-8000-0000000000a1', 'Ann@x', 'ann@x', 'Ann', '');
    insert into projects (project_id, name) values ('00000000-0000-7000-8000-0000000000b1', 'p');
    insert into api_keys (key_id, project_id, sha256, last4, comment, scopes, created_by)
        select ('00000000-0000-7000-8000-0000000000c' || n)::uuid, '00000000-0000-7000-8000-0000000000b1',
            repeat(n::text, 64), 'last', 'key ' || n, '{admin}', '00000000-0000-7000-8000-0000000000a1'
        from generate_series(1, 4) as n;
    update api_keys set replaced_by = '00000000-0000-7000-8000-0000000000c3' where comment = 'key 1';
    insert into audit_log (project_id, actor_kind, actor_id, action, target) values
        ('00000000-0000-7000-8000-0000000000b1', 'user', '00000000-0000-7000-8000-0000000000a1', 'key.create',
            '00000000-0000-7000-8000-0000000000c1'),
        ('00000000-0000-7000-8000-0000000000b1', 'key', '00000000-0000-7000-8000-0000000000c1', 'key.create',
            '00000000-0000-7000-8000-0000000000c2'),
        ('00000000-0000-7000-8000-0000000000b1', 'key', '00000000-0000-7000-8000-0000000000c1', 'key.create',
            '00000000-0000-7000-8000-0000000000c3'),
        ('00000000-0000-7000-8000-0000000000b1', 'user', '00000000-0000-7000-8000-0000000000a1', 'invite.create',
            'c@x'),
        ('00000000-0000-7000-8000-0000000000b1', 'key', '00000000-0000-7000-8000-0000000000c2', 'invite.create', 'C@x'),
        ('00000000-0000-7000-8000-0000000000b1', 'user', '00000000-0000-7000-8000-0000000000a1', 'invite.create',
            'd@x');
    insert into invites (project_id, email_key, email, role, sha256, expires)
        select '00000000-0000-7000-8000-0000000000b1', name || '@x', name || '@x', 'member', repeat(name, 64),
            now() + interval '1 day'
        from unnest(array['c', 'd', 'e']) as name;
    insert into usage_daily
        select '00000000-0000-7000-8000-0000000000b1', day, '00000000-0000-7000-8000-0000000000c1', 'streaming',
            '/v1/listen', 1, 60000, 0, 0, 0
        from unnest(array['2024-01-31', '2024-02-02', '2024-04-01']::date[]) as day;
    insert into usage_requests (request_id, day, started_ms, project_id, key_id, service, lane, path, tags, rank, seq,
            audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status)
        values ('00000000-0000-7000-8000-0000000000d1', '2024-04-01', 1711929600000,
            '00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000c1', 'streaming', 'l',
            '/v1/listen', '{}', 2, 1, 60000, 'stt', 1, 0, 0, 0, 101)
"""


# What a database of revision 0007 holds beside that: a project that has no owner, and requests of both services.
BEFORE_PRICES = """
    insert into memberships (project_id, user_id, role) values
        ('00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000a1', 'owner');
    insert into projects (project_id, name) values ('00000000-0000-7000-8000-0000000000b2', 'left behind');
    insert into credits (project_id, amount_micros, note) values
        ('00000000-0000-7000-8000-0000000000b1', 200000000, 'Welcome credit'),
        ('00000000-0000-7000-8000-0000000000b1', -5, 'A typo'),
        ('00000000-0000-7000-8000-0000000000b2', 7, 'Gift');
    insert into usage_requests (request_id, day, started_ms, project_id, key_id, service, lane, path, tags, rank, seq,
            audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status)
        select ('00000000-0000-7000-8000-0000000000e' || n)::uuid, '2024-05-01', 1714521600000,
            '00000000-0000-7000-8000-0000000000b1', '00000000-0000-7000-8000-0000000000c1',
            case n when 1 then 'prerecorded' else 'streaming' end, 'l', '/v1/listen', '{}', 2, 1, 5, 'stt', 1, 0, 0, 0,
            101
        from generate_series(1, 3) as n;
    insert into usage_daily
        select '00000000-0000-7000-8000-0000000000b1', '2024-05-01', '00000000-0000-7000-8000-0000000000c1', service,
            '/v1/listen', count(*), sum(audio_ms), 0, 0, 0
        from usage_requests where day = '2024-05-01' group by service
"""


async def test_what_was_billed_is_charged_at_the_settings_price_and_belongs_to_an_account(empty_database: str) -> None:
    settings = settings_for(empty_database)
    await migrate(settings, "up", "0005")
    connection = await asyncpg.connect(empty_database, timeout=60)
    try:
        await connection.execute(BEFORE_MAKERS)
        await migrate(settings, "up", "0007")
        await connection.execute(BEFORE_PRICES)
        await migrate(settings.model_copy(update={"price_per_hour_usd": Decimal("0.72")}), "up", "0008")
        # A fifth of a millionth a millisecond. Of January and February only totals are left: charged as one.
        found = await connection.fetch("select day::text, service, charge_micros from usage_daily order by 1, 2")
        assert [tuple(row) for row in found] == [
            ("2024-01-31", "streaming", 12_000), ("2024-02-02", "streaming", 12_000),
            ("2024-04-01", "streaming", 12_000), ("2024-05-01", "prerecorded", 1), ("2024-05-01", "streaming", 2),
        ]  # fmt: skip
        rows = await connection.fetch(
            "select request.service = prices.service as fits, prices.plan, micros_per_hour, charge_micros"
            " from usage_requests as request join prices using (price_id) order by charge_micros"
        )
        assert [tuple(row) for row in rows] == [(True, "prepaid", 720_000, 1)] * 3 + [
            (True, "prepaid", 720_000, 12_000)
        ]
        owners = await connection.fetch(
            "select name, owner_id is not null, plan from projects join billing_accounts using (account_id) order by 1"
        )
        assert [tuple(row) for row in owners] == [("left behind", False, "prepaid"), ("p", True, "prepaid")]
        await migrate(settings, "up", "0010")
        ledger = await connection.fetch(
            "select kind, amount_micros, projects.account_id = entry.account_id from ledger_entries as entry"
            " join projects using (project_id) order by amount_micros"
        )
        assert [tuple(row) for row in ledger] == [
            ("adjustment", -5, True), ("grant", 7, True), ("grant", 200_000_000, True)
        ]  # fmt: skip
        assert await connection.fetchval("select array_agg(spent_micros) from account_spend") == [36_003]
        await migrate(settings, "down", "0007")
        assert await connection.fetchval("select sum(amount_micros)::bigint from credits") == 200_000_002
        await migrate(settings, "up")
        assert await connection.fetchval("select distinct micros_per_hour from prices") == 360_000
    finally:
        await connection.close(timeout=60)


async def test_makers_and_what_was_dropped_are_found_in_what_is_there(empty_database: str) -> None:
    settings = settings_for(empty_database)
    await migrate(settings, "up", "0005")
    connection = await asyncpg.connect(empty_database, timeout=60)
    try:
        await connection.execute(BEFORE_MAKERS)
        await migrate(settings, "up")
        made = await connection.fetch("select comment, right(made_by_key::text, 2) as maker from api_keys order by 1")
        assert {row["comment"]: row["maker"] for row in made} == {
            "key 1": None, "key 2": "c1", "key 3": None, "key 4": None,
        }  # fmt: skip
        invites = await connection.fetch(
            "select email, right(invited_by::text, 2) as by_user, right(made_by_key::text, 2) as by_key from invites"
        )
        assert sorted(tuple(row) for row in invites) == [("c@x", "a1", "c2"), ("d@x", "a1", None), ("e@x", None, None)]
        # April's request is there, so April was not dropped; February's totals have none any more.
        assert str(await connection.fetchval("select since from usage_kept")) == "2024-03-01"
    finally:
        await connection.close(timeout=60)


# Requests of the addresses that had no endpoint of their own, and their totals as sqs_updater left them.
BEFORE_ENDPOINTS = """
    insert into usage_requests (request_id, day, started_ms, project_id, key_id, service, lane, path, tags, rank, seq,
            audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status)
        select uuidv7(), '2024-04-01', 1711929600000, '00000000-0000-7000-8000-0000000000b1',
            '00000000-0000-7000-8000-0000000000c1', 'streaming', 'live1', path, '{}', 2, 1, ms, 'stt', 1, 1, 2, 3, 101
        from (values ('/v2/listen', 10), ('/v2/listen', 20), ('/v1/realtime', 40), ('/v1/audio/transcriptions', 80),
            ('/listen/v1', 160), ('/v1/unknown', 320)) as used (path, ms);
    insert into usage_daily (project_id, day, key_id, service, endpoint, requests, audio_ms, connection_ms, bytes_in,
            bytes_out, charge_micros)
        select project_id, day, key_id, service, endpoint, count(*), sum(audio_ms), sum(connection_ms), sum(bytes_in),
            sum(bytes_out), sum(charge_micros)
        from usage_requests group by project_id, day, key_id, service, endpoint
"""


async def test_requests_and_totals_of_the_newer_addresses_get_endpoints_of_their_own_and_lose_them(
    empty_database: str,
) -> None:
    settings = settings_for(empty_database)
    await migrate(settings, "up", "0017")
    connection = await asyncpg.connect(empty_database, timeout=60)

    async def totals() -> dict[str, tuple[int, int]]:
        stored, counted = [
            {row["endpoint"]: (row["requests"], row["audio_ms"]) for row in await connection.fetch(query)}
            for query in (
                "select endpoint, requests, audio_ms from usage_daily",
                "select endpoint, count(*) as requests, sum(audio_ms) as audio_ms from usage_requests group by 1",
            )
        ]
        assert stored == counted
        return stored

    try:
        await connection.execute(BEFORE_ENDPOINTS)
        assert await totals() == {"/v1/listen": (1, 160), "other": (5, 470)}
        await migrate(settings, "up", "0018")
        assert await totals() == {
            "/v1/listen": (1, 160), "/v2/listen": (2, 30), "/v1/realtime": (1, 40), "/v1/audio/transcriptions": (1, 80),
            "other": (1, 320),
        }  # fmt: skip
        await migrate(settings, "down", "0017")
        assert await totals() == {"/v1/listen": (1, 160), "other": (5, 470)}
    finally:
        await connection.close(timeout=60)
