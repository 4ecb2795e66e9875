"""Keeps Redis' credentials, projects, accounts and prices as PostgreSQL has them.

On every change, every ten seconds, and after a loss.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

import redis.asyncio as redis
import structlog

from aldea.postgres import Database
from aldea.redis.link import RedisLink, Script
from aldea.redis.schema import KEYS_LOADED
from aldea.service.lifecycle import NotReady
from aldea.tasks import cancel, spawn
from backend.credits import accounts
from backend.keys import entries as keys
from backend.limits.mirrored import spent_in_month
from backend.projects import repository as projects
from backend.replication.mirror import USED_SECONDS, Entry, Mirror
from backend.replication.notify import Listener
from backend.tokens import repository as tokens

log = structlog.get_logger("backend.key_sync")

RECONCILE_SECONDS: Final = 10.0
# `keys:loaded` is looked at this often; an emptied Redis is filled again in less than 5 s.
LOOK_SECONDS: Final = 1.0
# Rows of one read from PostgreSQL.
PAGE: Final = 1000
# A whole pass; far beyond what 100,000 keys take, and an end for one that hangs.
PASS_SECONDS: Final = 60.0
# A mark that a load is under way. If Redis is emptied meanwhile, the mark is lost with the rest, and the load is void.
LOADING_SECONDS: Final = 120
# Names looked at in one SCAN step, in search of credentials that PostgreSQL does not know.
SCAN_COUNT: Final = 1000
# Expired tokens deleted in one pass, far more than are granted between two.
MAX_FORGOTTEN: Final = 100_000

# `keys:loaded` may be set only if the mark of this load still exists.
_FINISH: Final = Script(
    """
if redis.call('DEL', KEYS[1]) == 1 then
    redis.call('SET', KEYS[2], ARGV[1])
    return 1
end
return 0
"""
)


class KeySync:
    """The background work of every backend task. All of it may run in many tasks at once."""

    def __init__(self, database: Database, link: RedisLink, mirror: Mirror, listener: Listener) -> None:
        self._database = database
        self._link = link
        self._mirror = mirror
        self._listener = listener
        # Tokens are many and change only by their grants: they are written where Redis may have lost some.
        self._tokens_due = True
        link.on_reconnect(self._disturbed)

    def _disturbed(self) -> None:
        self._tokens_due = True

    async def run(self) -> None:
        """Run until cancelled; failures are logged and retried."""
        following = spawn(self._follow(), name="key-sync-follow")
        listening = spawn(self._listener.run(), name="key-sync-listen")
        try:
            await self._keep()
        finally:
            await cancel(following, listening)

    async def _keep(self) -> None:
        due = 0.0
        while True:
            try:
                if self._tokens_due or time.monotonic() >= due or not await self.loaded():
                    await self.reconcile()
                    # Jittered, so that tasks that started together do not all query at the same moment.
                    due = time.monotonic() + RECONCILE_SECONDS * random.uniform(0.8, 1.0)
            except Exception as error:  # noqa: BLE001 - a store is unavailable; the next look tries again
                log.warning("key reconciliation failed, will retry", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _follow(self) -> None:
        while True:
            kind, name = await self._listener.next()
            try:
                await self.propagate(kind, name)
            except Exception as error:  # noqa: BLE001 - the reconciliation finds it again
                log.warning("change not propagated", kind=kind, name=name, error=f"{type(error).__name__}: {error}")

    async def loaded(self) -> bool:
        """Whether Redis holds all keys, by its own mark. Raises RedisUnavailable."""
        return bool(await self._link.run(lambda client: client.exists(KEYS_LOADED)))

    async def check(self) -> None:
        """Readiness: raises while Redis does not hold all keys, because good ones get 503 until then."""
        if not await self.loaded():
            raise NotReady("the keys are not all in Redis yet")

    async def propagate(self, kind: str, name: str) -> None:
        """Write one changed key, project, user, account or plan's prices to Redis, and what else changed with it."""
        async with self._database.connection() as connection:
            if kind == "key":
                entries = await keys.entries_of_key(connection, name)
            elif kind == "project":
                entries = [
                    *await accounts.entries_of_projects(connection, [name]),
                    *await projects.entries_of(connection, name),
                    *await keys.entries_of_project(connection, name),
                ]
            elif kind == "user":
                entries = await tokens.entries_of_user(connection, name)
            elif kind == "account":
                entries = await accounts.entries_of_ids(connection, [name])
            elif kind == "prices":
                entries = await accounts.price_entries(connection, [name])
            else:
                return
        await self._mirror.put(entries)

    async def reconcile(self) -> int:
        """Make all of Redis agree with PostgreSQL; how many records had to be written."""
        async with asyncio.timeout(PASS_SECONDS):
            tokens_due, self._tokens_due = self._tokens_due or not await self.loaded(), False
            mark = f"keys:loading:{uuid.uuid4()}"
            await self._link.run(lambda client: client.set(mark, "1", ex=LOADING_SECONDS))
            written = 0
            async for entries in self._all_entries():
                written += await self._mirror.refresh(entries)
            if tokens_due:
                try:
                    written += await self._bring_tokens()
                except BaseException:
                    self._tokens_due = True
                    raise
            await self._raise_used()
            await self._remove_unknown()
            now = str(time.time_ns() // 1_000_000)
            if not await self._link.call(_FINISH, [mark, KEYS_LOADED], [now]):
                log.warning("redis was emptied during a load, loading again")
        if written:
            log.info("keys reconciled", written=written)
        return written

    async def _all_entries(self) -> AsyncIterator[list[Entry]]:
        """Prices, accounts, projects, keys: what names a record that is not there yet would be refused."""
        async with self._database.connection() as connection:
            entries = await accounts.price_entries(connection)
        yield entries
        for read in (accounts.page_of_entries, projects.page_of_entries, keys.page_of_entries, tokens.page_of_entries):
            after: str | None = None
            while True:
                async with self._database.connection() as connection:
                    entries, after = await read(connection, after, PAGE)
                yield entries
                if after is None:
                    break

    async def _raise_used(self) -> None:
        month = datetime.now(UTC).replace(day=1).date()
        async with self._database.connection() as connection:
            figures = await projects.audio_ms_since(connection, month)
        await self._mirror.raise_used(month.strftime("%Y%m"), figures)
        after: str | None = None
        while True:
            async with self._database.connection() as connection:
                spent, after = await accounts.page_of_spend(connection, after, PAGE)
            await self._mirror.raise_spent(spent)
            if after is None:
                break
        async with self._database.connection() as connection:
            in_month = await spent_in_month(connection)
        await self._mirror.raise_spent(in_month, seconds=USED_SECONDS)

    async def _bring_tokens(self) -> int:
        written, after = 0, None
        while True:
            async with self._database.connection() as connection:
                found, after = await tokens.page_of_tokens(connection, after, PAGE)
            written += await self._mirror.put_tokens(found)
            if after is None:
                return written

    async def _remove_unknown(self) -> None:
        """Remove what PostgreSQL does not know (after a restore to an earlier state it is still the truth).

        A record is written to Redis only after its row's commit, so whatever a scan finds can be queried afterwards.
        """
        async with self._database.connection() as connection:
            await tokens.forget_expired_tokens(connection, MAX_FORGOTTEN)
        cursor = 0
        while True:
            cursor, names = await self._link.run(partial(_scan, cursor))
            if names:
                known = await self._mirror.known(names)
                unknown = [name for name in names if name not in known]
                if unknown and (removed := await self._mirror.remove(unknown)):
                    log.warning("records without a row removed from redis", removed=removed)
            if cursor == 0:
                return


async def _scan(cursor: int, client: redis.Redis) -> tuple[int, list[str]]:
    # One pass over all names for all kinds; a pattern has no "or".
    after, names = await client.scan(cursor, match="[acp][cr][ceo][doj]*:*", count=SCAN_COUNT)
    return int(after), [str(name) for name in names if str(name).startswith(("account:", "cred:", "project:"))]
