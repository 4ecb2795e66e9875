"""Redis follows PostgreSQL: on a peer's change, after it was emptied, whatever order writers arrive in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.postgres import Database
from aldea.redis.link import RedisLink
from aldea.redis.schema import CredentialRecord, credential_key, used_key
from aldea.tasks import cancel, spawn
from backend import key_sync
from backend.accounts import repository as accounts
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.key_sync import KeySync
from backend.keys import entries
from backend.keys import repository as keys
from backend.keys.service import create_key
from backend.projects.service import create_project
from backend.replication import notify
from backend.replication.mirror import Entry, Mirror
from backend.replication.mirrored_rows import MirroredRows
from backend.replication.notify import Listener
from tests.integration.conftest import settings_for

EVENTUALLY_SECONDS = 90.0


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(EVENTUALLY_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


class Keeper:
    """A key sync with what it works on, and a project with a key that Redis does not know yet."""

    def __init__(self, database: Database, link: RedisLink) -> None:
        self.database = database
        self.mirror = Mirror(link, MirroredRows(database))
        self.heard = 0
        self.listener = Listener(database, self._hear)
        self.sync = KeySync(database, link, self.mirror, self.listener)
        self.project_id = ""
        self.key_id = ""
        self.key = ""

    def _hear(self) -> None:
        self.heard += 1

    async def make_key(self, name: str) -> None:
        settings = settings_for("postgresql://u@h/d")
        async with Changes(self.database).transaction(SYSTEM) as change:
            user_id = await accounts.insert_user(change.connection, email=name, name=name, password_hash="")
            assert user_id is not None
            change.unmirrored("accounts", "account.create", user_id)
            self.project_id = await create_project(change, settings, user_id, name)
            made = await create_key(change, self.project_id, user_id, comment="", scopes=["usage:write"])
        self.key_id, self.key = made.key_id, made.text

    async def revoke(self) -> None:
        async with self.database.transaction() as connection:
            await keys.revoke(connection, self.project_id, self.key_id)
            await notify.announce(connection, "key", self.key_id)


@pytest.fixture
async def keeper(database: Database, redis_url: str) -> AsyncIterator[Keeper]:
    # Commands of these tests may meet a busy machine; the deadline is not what they are about.
    async with RedisLink(redis_url, command_seconds=5) as link:
        found = Keeper(database, link)
        await found.make_key("ann")
        yield found


@pytest.fixture
async def running(keeper: Keeper) -> AsyncIterator[Keeper]:
    task = spawn(keeper.sync.run(), name="key-sync")
    yield keeper
    await cancel(task)


async def state(client: redis.Redis, key: str) -> str | None:
    found: Any = await client.hgetall(credential_key(sha256_hex(key)))
    return CredentialRecord.from_hash(found).state if found else None


async def test_a_first_pass_loads_everything_and_says_so(keeper: Keeper, redis_client: redis.Redis) -> None:
    assert not await keeper.sync.loaded()
    # A key, its project, that one's account, and the prices of three plans.
    assert await keeper.sync.reconcile() == 6
    assert await keeper.sync.loaded()
    assert await state(redis_client, keeper.key) == "active"
    assert await redis_client.hget(f"project:{keeper.project_id}", "state") == "active"
    assert await keeper.sync.reconcile() == 0


async def test_pages_leave_nothing_out(
    keeper: Keeper, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sync, "PAGE", 2)
    for number in range(5):
        await keeper.make_key(f"user{number}")
    assert await keeper.sync.reconcile() == 3 * 6 + 3
    assert len(await redis_client.keys("cred:*")) == 6


async def test_an_emptied_redis_has_its_keys_back(running: Keeper, redis_client: redis.Redis) -> None:
    await eventually(running.sync.loaded)
    await redis_client.flushall()
    await eventually(running.sync.loaded)
    assert await state(redis_client, running.key) == "active"


async def test_a_load_during_which_redis_was_emptied_does_not_count(
    keeper: Keeper, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = Mirror.refresh

    async def refresh_then_lose(self: Mirror, entries: list[Entry]) -> int:
        written = await refresh(self, entries)
        await redis_client.flushall()
        return written

    monkeypatch.setattr(Mirror, "refresh", refresh_then_lose)
    await keeper.sync.reconcile()
    assert not await keeper.sync.loaded()


async def test_a_peers_change_arrives_by_notification(running: Keeper, redis_client: redis.Redis) -> None:
    async def listening() -> bool:
        return running.listener.listening and await running.sync.loaded()

    await eventually(listening)
    heard = running.heard
    await running.revoke()

    async def revoked() -> bool:
        return await state(redis_client, running.key) == "revoked"

    await eventually(revoked)
    assert running.heard > heard


async def test_a_reconciliation_finds_what_no_notification_brought(keeper: Keeper, redis_client: redis.Redis) -> None:
    await keeper.sync.reconcile()
    await keeper.revoke()
    assert await state(redis_client, keeper.key) == "active"
    assert await keeper.sync.reconcile() == 1
    assert await state(redis_client, keeper.key) == "revoked"


async def test_a_late_writer_of_an_earlier_state_changes_nothing(keeper: Keeper, redis_client: redis.Redis) -> None:
    async with keeper.database.connection() as connection:
        before = await entries.entries_of_key(connection, keeper.key_id)
        await keeper.revoke()
        after = await entries.entries_of_key(connection, keeper.key_id)
    assert await keeper.mirror.put(after) == 1
    assert await keeper.mirror.put(before) == 0
    assert await keeper.mirror.refresh(before) == 0
    assert await state(redis_client, keeper.key) == "revoked"


async def test_a_record_that_an_earlier_release_wrote_is_completed_without_a_change_of_the_key(
    keeper: Keeper, redis_client: redis.Redis
) -> None:
    async with keeper.database.connection() as connection:
        await connection.execute("update api_keys set tags = '{prod}' where key_id = $1", keeper.key_id)
    await keeper.sync.reconcile()
    name = credential_key(sha256_hex(keeper.key))
    whole: Any = await redis_client.hgetall(name)
    await redis_client.hdel(name, "tags", "digest")
    assert await keeper.sync.reconcile() == 1
    assert await redis_client.hgetall(name) == whole
    assert CredentialRecord.from_hash(whole).tags == ("prod",)
    assert await keeper.sync.reconcile() == 0


async def test_a_key_that_postgresql_does_not_know_is_removed_and_a_token_is_left_alone(
    keeper: Keeper, redis_client: redis.Redis
) -> None:
    for kind in ("key", "token"):
        record = CredentialRecord(
            kind=kind,
            state="active",
            project_id=keeper.project_id,
            key_id=keeper.key_id,
            scopes=frozenset(),
        )
        mapping: Any = record.to_hash()
        await redis_client.hset(credential_key(kind), mapping=mapping)
    await keeper.sync.reconcile()
    assert not await redis_client.exists(credential_key("key"))
    assert await redis_client.exists(credential_key("token"))
    assert await state(redis_client, keeper.key) == "active"


async def test_the_months_audio_is_raised_to_postgresqls_figure_but_never_lowered(
    keeper: Keeper, redis_client: redis.Redis
) -> None:
    async with keeper.database.connection() as connection:
        month = await connection.fetchval("select to_char(now() at time zone 'utc', 'YYYYMM')")
        await connection.execute(
            """
            insert into usage_daily (project_id, day, key_id, service, endpoint, requests, audio_ms, connection_ms,
                bytes_in, bytes_out)
            values ($1, (now() at time zone 'utc')::date, $2, 'streaming', '/v1/listen', 1, 5000, 0, 0, 0)
            """,
            keeper.project_id,
            keeper.key_id,
        )
    name = used_key(keeper.project_id, month)
    await keeper.sync.reconcile()
    assert await redis_client.get(name) == "5000"
    await redis_client.set(name, 7000)
    await keeper.sync.reconcile()
    assert await redis_client.get(name) == "7000"


async def test_a_listener_whose_connection_was_cut_listens_again(
    running: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(notify, "RETRY_SECONDS", 0.05)

    async def listening() -> bool:
        return running.listener.listening

    await eventually(listening)
    heard = running.heard
    async with running.database.connection() as connection:
        await connection.execute(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()
            """
        )

    async def again() -> bool:
        return running.heard >= heard + 2 and running.listener.listening

    await eventually(again)
