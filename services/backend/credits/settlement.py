"""Lowers what Redis counts of money and of months' audio to PostgreSQL's figure, where a failover left it too high.

Redis counts a charge within the step that books it, PostgreSQL when the reading has come through the pipeline. So what
PostgreSQL has is never more than what Redis should have: key_sync raises Redis to it (`KeySync`). The other way round,
what Redis had at one time is in PostgreSQL once every reading of then is merged; what is still missing then was counted
twice, and is taken away. Neither needs an account to be idle. What running files have reserved is left out.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from aldea.postgres import Database
from aldea.redis.link import RedisLink
from aldea.redis.schema import USAGE_STREAM
from aldea.sqs import Depth, SqsUnavailable
from aldea.turns import in_turns
from backend.credits import accounts, reservations
from backend.limits.mirrored import spent_in_month, used_by_projects
from backend.replication.mirror import Mirror, Spent
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.ledger")

LOOK_SECONDS: Final = 10.0
# Through this time the pipeline must be found calm at every look: its oldest entry young, no message waiting in the
# queue. It is far longer than a reading takes then, and than SQS' figures lag behind (about a minute).
SETTLED_SECONDS: Final = 120.0
YOUNG_MS: Final = 20_000
PAGE: Final = 1000


class Queue(Protocol):
    """That of usage readings."""

    async def depth(self) -> Depth:
        """About how many messages it holds. Raises SqsUnavailable."""


class Settlement(Sweeping):
    """The sweep of one backend process; several may run at once, since each surplus is taken away once."""

    def __init__(
        self,
        database: Database,
        link: RedisLink,
        mirror: Mirror,
        queue: Queue,
        *,
        settled_seconds: float = SETTLED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            name="spend-settlement", every=LOOK_SECONDS, again=LOOK_SECONDS, failure="spend not settled", log=log
        )
        self._database = database
        self._link = link
        self._mirror = mirror
        self._queue = queue
        self._settled_seconds = settled_seconds
        self._clock = clock
        # What Redis had, and when; None: the pipeline was not calm since.
        self._seen: tuple[float, dict[str, Spent]] | None = None

    async def sweep_now(self) -> int:
        """Look once; how many accounts' spend was lowered.

        Raises DatabaseUnavailable, RedisUnavailable, asyncpg.PostgresError.
        """
        if not await self._calm():
            self._seen = None
            return 0
        if self._seen is None:
            self._seen = (self._clock(), await self._in_redis())
            return 0
        when, seen = self._seen
        if self._clock() - when < self._settled_seconds:
            return 0
        self._seen = None
        wrong = {}
        async for name, has in in_turns(list((await self._in_postgresql()).items())):
            found = seen.get(name)
            # What was seen before the project used anything was not seen where its audio is counted.
            if found is None or found.apart != has.apart:
                continue
            surplus = Spent(max(0, found.micros - has.micros), audio_ms=max(0, found.audio_ms - has.audio_ms))
            if surplus.micros or surplus.audio_ms:
                wrong[name] = (surplus, found)
        lowered = await self._mirror.lower_spent(wrong)
        if lowered:
            log.warning("spend in redis was too high, lowered", spends=lowered)
        return lowered

    async def _calm(self) -> bool:
        oldest = await self._link.run(lambda client: client.xrange(USAGE_STREAM, count=1))
        if oldest and time.time() * 1000 - int(str(oldest[0][0]).partition("-")[0]) > YOUNG_MS:
            return False
        try:
            depth = await self._queue.depth()
        except SqsUnavailable:
            return False
        return depth.visible + depth.delayed == 0

    async def _in_redis(self) -> dict[str, Spent]:
        figures = await self._in_postgresql()
        # Reservations of before and after: one that begins or ends meanwhile makes no surplus.
        reserved = await reservations.running(self._link)
        found = await self._mirror.spent(list(figures), {name for name, figure in figures.items() if figure.apart})
        reserved |= await reservations.running(self._link)
        return await reservations.without(found, reserved.values()) if reserved else found

    async def _in_postgresql(self) -> dict[str, Spent]:
        """What accounts have spent ever; of this month, what projects and everything that is limited by month have."""
        async with self._database.connection() as connection:
            found = await spent_in_month(connection) | await used_by_projects(connection)
        after: str | None = None
        while True:
            async with self._database.connection() as connection:
                page, after = await accounts.page_of_spend(connection, after, PAGE)
            found |= page
            if after is None:
                return found
