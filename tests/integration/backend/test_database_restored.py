"""The database is restored to an earlier moment (docs/operations.md): what is done afterwards has its effect at once.

The cold copy is a copy of the database as its files are (`create database … template`); restored, it takes the name.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.postgres import Database, open_database
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import credential_key, project_key
from backend.accounts import repository as accounts
from backend.api.access import SessionCaller
from backend.api.authentication import Authenticator
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.key_sync import KeySync
from backend.keys.service import KeyService, NewKey
from backend.live.leases import Leases
from backend.operators.service import OperatorService
from backend.projects.service import ProjectService
from backend.replication.mirror import Mirror, NotWritten
from backend.replication.mirrored_rows import MirroredRows
from backend.replication.notify import Listener
from backend.replication.propagation import Propagation
from onebox import stores
from tests.integration.conftest import administer, settings_for
from tests.support.proxies import patient_link

SESSION = "f" * 64


class Platform:
    """A backend's services on one database and one Redis, without HTTP."""

    def __init__(self, database: Database, link: RedisLink) -> None:
        mirror = Mirror(link, MirroredRows(database))
        changes = Changes(database, Propagation(mirror, Authenticator(database)))
        leases = Leases(link)
        self.database = database
        self.mirror = mirror
        self.keys = KeyService(database, changes)
        self.projects = ProjectService(database, changes, settings_for("postgresql://u@h/d"))
        self.operators = OperatorService(database, changes, leases)
        self.sync = KeySync(database, link, mirror, Listener(database, lambda: None))

    async def owner(self, project_id: str) -> SessionCaller:
        """The project's owner, signed in."""
        async with self.database.connection() as connection:
            user_id = await connection.fetchval(
                "select user_id::text from memberships where project_id = $1", project_id
            )
        roles: Any = {project_id: "owner"}
        return SessionCaller(
            sha256=SESSION, user_id=user_id, email="a@example.com", name="a", operator=False, roles=roles
        )

    async def new_key(self, project_id: str) -> NewKey:
        made = await self.keys.create(
            await self.owner(project_id), SYSTEM, project_id, comment="", scopes=["usage:write"]
        )
        assert made.propagated
        return made

    async def revoke(self, project_id: str, key: NewKey) -> bool:
        """Whether Redis knows already."""
        return (await self.keys.revoke(await self.owner(project_id), SYSTEM, project_id, key.key_id)).propagated


class Estate:
    """Opens the platform, copies its database, and puts the copy in its place."""

    def __init__(self, server: stores.Postgres, url: str, link: RedisLink) -> None:
        self._server = server
        self._url = url
        self._name = url.rpartition("/")[2]
        self._link = link
        self._stack = AsyncExitStack()

    async def open(self) -> Platform:
        database = await self._stack.enter_async_context(open_database(settings_for(self._url), "test"))
        return Platform(database, self._link)

    async def close(self) -> None:
        await self._stack.aclose()

    async def copy(self) -> Platform:
        await self.close()
        await administer(self._server, f"create database {self._name}_copy template {self._name}")
        return await self.open()

    async def restore(self) -> Platform:
        await self.close()
        await administer(self._server, f"alter database {self._name} rename to {self._name}_broken")
        await administer(self._server, f"alter database {self._name}_copy rename to {self._name}")
        return await self.open()

    async def remove(self) -> None:
        await self.close()
        for suffix in ("copy", "broken"):
            await administer(self._server, f"drop database if exists {self._name}_{suffix} with (force)")


@pytest.fixture
async def estate(postgres_server: stores.Postgres, database_url: str, redis_url: str) -> AsyncIterator[Estate]:
    async with patient_link(redis_url) as link:
        found = Estate(postgres_server, database_url, link)
        yield found
        await found.remove()


@pytest.fixture
async def project_id(estate: Estate) -> str:
    platform = await estate.open()
    async with platform.database.transaction() as connection:
        user_id = await accounts.insert_user(connection, email="a@example.com", name="a", password_hash="")
        assert user_id is not None
        await accounts.insert_session(connection, SESSION, user_id, days=1)
    return await platform.projects.create(SYSTEM, user_id, "P")


async def test_what_is_changed_after_a_restore_has_its_effect_before_the_response(
    estate: Estate, project_id: str, redis_client: redis.Redis
) -> None:
    async def of_key(key: NewKey) -> Any:
        return await redis_client.hget(credential_key(sha256_hex(key.text)), "state")

    async def of_project(field: str) -> Any:
        return await redis_client.hget(project_key(project_id), field)

    platform = await estate.open()
    rotated, revoked, kept = [await platform.new_key(project_id) for _ in range(3)]
    await platform.sync.reconcile()
    platform = await estate.copy()
    # After the moment to which it will be restored: revisions rise.
    new = await platform.keys.rotate(await platform.owner(project_id), SYSTEM, project_id, rotated.key_id, 3600)
    await platform.revoke(project_id, revoked)
    assert await of_key(revoked) == "revoked"
    for limit in range(1, 6):
        await platform.operators.set_limits(SYSTEM, project_id, {"requests_per_minute": limit})
    await platform.operators.suspend(SYSTEM, project_id, "abuse")

    platform = await estate.restore()
    # At once, before any reconciliation.
    assert await platform.revoke(project_id, rotated)
    assert await of_key(rotated) == "revoked"
    assert await platform.revoke(project_id, revoked)
    assert await of_key(revoked) == "revoked"
    assert await platform.operators.set_limits(SYSTEM, project_id, {"concurrent_streams": 7})
    assert (await of_project("state"), await of_project("concurrent_streams")) == ("active", "7")
    assert await platform.operators.suspend(SYSTEM, project_id, "late")
    assert await of_project("state") == "suspended"
    assert await platform.operators.resume(SYSTEM, project_id)
    assert await of_project("state") == "active"
    assert await of_key(kept) == "active"

    await platform.sync.reconcile()
    # A key made after the moment is deleted, and its text is refused.
    assert await of_key(new) is None
    assert await platform.sync.reconcile() == 0


async def test_a_reconciliation_makes_redis_what_the_restored_database_says(
    estate: Estate, project_id: str, redis_client: redis.Redis
) -> None:
    platform = await estate.open()
    key = await platform.new_key(project_id)
    platform = await estate.copy()
    ended = await platform.revoke(project_id, key)
    limits = await platform.operators.set_limits(SYSTEM, project_id, {"requests_per_minute": 1})
    async with platform.database.connection() as connection:
        user_id = await connection.fetchval("select user_id::text from users")
    later = await platform.projects.create(SYSTEM, user_id, "later")
    session: Any = {"kind": "session", "state": "active", "project_id": project_id, "key_id": user_id, "scopes": ""}
    await redis_client.hset(credential_key("0" * 64), mapping=session)
    assert ended
    assert limits

    platform = await estate.restore()
    # The key, the project, and the prices of three plans, which nobody has written before.
    assert await platform.sync.reconcile() == 2 + 3
    assert await redis_client.hget(credential_key(sha256_hex(key.text)), "state") == "active"
    assert await redis_client.hget(project_key(project_id), "requests_per_minute") == "600"
    assert not await redis_client.exists(project_key(later))
    assert not await redis_client.exists(credential_key("0" * 64))


async def test_two_changes_of_the_same_revision_are_distinguished_by_their_content(
    estate: Estate, project_id: str, redis_client: redis.Redis
) -> None:
    """The restored database gives the very next revision, which the lost change had, to another change."""
    platform = await estate.copy()
    await platform.operators.set_limits(SYSTEM, project_id, {"requests_per_minute": 1})
    platform = await estate.restore()
    name = project_key(project_id)
    before = await redis_client.hget(name, "revision")
    async with platform.database.transaction() as connection:  # Redis was unavailable: not notified
        await connection.execute("update projects set state = 'suspended', revision = $1", int(before or 0))
    await platform.sync.reconcile()
    assert await redis_client.hget(name, "revision") == before
    assert await redis_client.hget(name, "state") == "suspended"


async def test_a_change_that_redis_does_not_take_is_not_called_complete(
    estate: Estate, project_id: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = await estate.open()
    key = await platform.new_key(project_id)
    name = credential_key(sha256_hex(key.text))
    moving = iter(range(1_000_000, 2_000_000))

    class Elsewhere(MirroredRows):
        async def current(self, names: Any) -> Any:
            found = await super().current(names)
            await redis_client.hset(name, "revision", next(moving))  # others write all the time
            return found

    mirror = Mirror(platform.mirror.link, Elsewhere(platform.database))
    await redis_client.hset(name, "revision", next(moving))
    [entry] = await MirroredRows(platform.database).current([name])
    with pytest.raises(NotWritten):
        await mirror.put([entry])
    assert issubclass(NotWritten, RedisUnavailable)
    assert await mirror.put_or_defer(entry) is False
