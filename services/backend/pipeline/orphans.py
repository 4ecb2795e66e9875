"""Closes requests whose proxy died: from the last checkpoint, marked incomplete, by a reading like any other.

The reading goes into the usage stream and takes the same way as the proxies' own, so there is one writer and one rule:
it ranks above the checkpoint that it repeats and below every later one. A request that was only cut off from Redis
goes on where it was with its next checkpoint, and its final overrides all.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from aldea.errors import ServiceUnavailable
from aldea.postgres import Database
from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM, leases_key
from aldea.rows import Query
from aldea.sqs import Queue, SqsUnavailable
from aldea.tasks import cancel, spawn
from aldea.usage.reading import AudioSource, Rank, Service, UsageReading

log = structlog.get_logger("backend.pipeline.orphans")

# A lease's life by default; renewals come every third of it.
LEASE_TTL_SECONDS: Final = 30.0
# A row that no reading has touched for this many lives of a lease, and whose request holds none, is an orphan.
LIVES: Final = 2
# Sweeps in a life of a lease.
SWEEPS: Final = 2
# Rows closed in one sweep; more wait for the next.
MAX_ORPHANS: Final = 500
# The pipeline lags when its oldest entry is older, or more messages wait in its queue, than this: then a row may look
# forgotten only because its readings have not arrived. Messages that a worker has received do not count: at a
# high rate there are always many.
MAX_STREAM_AGE_SECONDS: Final = 10.0
MAX_QUEUE_MESSAGES: Final = 20

CLOSED: Final = Counter("aldea_usage_orphans_closed", "Requests closed from their last checkpoint")
OPEN_REQUESTS: Final = Gauge("aldea_usage_orphan_candidates", "Open requests that no reading touched for two leases")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last checkpoint of a request that was forgotten: a reading without its rank."""

    request_id: str
    started_ms: int
    project_id: str
    key_id: str
    service: Service
    lane: str
    path: str
    tags: list[str]
    seq: int
    audio_ms: int
    audio_source: AudioSource
    channels: int
    connection_ms: int
    bytes_in: int
    bytes_out: int
    status: int
    close_code: int | None
    model: str
    features: list[str]
    failovers: int
    first_word_ms: int | None


FORGOTTEN: Final = Query(
    Checkpoint,
    """
    select request_id::text, started_ms, project_id::text, key_id::text, service, lane, path, tags, seq, audio_ms,
        audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code, model, features, failovers,
        first_word_ms
    from usage_requests
    where rank = 0 and updated < now() - $1 * interval '1 second'
    order by updated
    limit $2
    """,
)


class Orphans:
    """The sweep of one backend process; several may run, their readings are equal."""

    def __init__(
        self, database: Database, link: RedisLink, usage: Queue, *, lease_ttl_seconds: float = LEASE_TTL_SECONDS
    ) -> None:
        self._database = database
        self._link = link
        self._usage = usage
        self._age = lease_ttl_seconds * LIVES
        self._every = lease_ttl_seconds / SWEEPS
        self._calm_since: float | None = None
        self._run_id = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep in the background until `stop`."""
        self._task = spawn(self.run(), name="orphans")

    async def stop(self) -> None:
        """End the sweeping; an interrupted sweep is repeated by the next one."""
        await cancel(self._task)

    async def run(self) -> None:
        """Sweep until cancelled. Raises only when cancelled."""
        while True:
            # Jittered, so that the backends of a fleet spread out and mostly find nothing left to do.
            await asyncio.sleep(self._every * (0.5 + random.random()))
            try:
                await self.sweep()
            except (ServiceUnavailable, SqsUnavailable, RedisUnavailable, RedisError) as error:
                self._calm_since = None
                log.warning("orphan sweep failed, will retry", error=f"{type(error).__name__}: {error}")
            except Exception:
                self._calm_since = None
                log.exception("orphan sweep failed")

    async def sweep(self) -> int:
        """Close the orphans of this moment. Returns how many.

        Nothing is closed before the pipeline has been seen not to lag, by one and the same Redis, for as long as a row
        must be untouched: after an outage the delayed readings and the renewed leases come first. Raises
        ServiceUnavailable, SqsUnavailable, RedisUnavailable or RedisError when a store is unavailable.
        """
        now = time.monotonic()
        if not await self._calm():
            self._calm_since = None
            return 0
        self._calm_since = now if self._calm_since is None else self._calm_since
        async with self._database.connection() as connection:
            rows = await FORGOTTEN.all(connection, self._age, MAX_ORPHANS)
        OPEN_REQUESTS.set(len(rows))
        if not rows or now - self._calm_since < self._age:
            return 0
        orphans = await self._without_lease([closing(row) for row in rows])
        if orphans:
            await self._write(orphans)
        return len(orphans)

    async def _calm(self) -> bool:
        async def look(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.info("server")
                pipe.time()
                pipe.xrange(USAGE_STREAM, count=1)
                return await pipe.execute()

        server, (seconds, _), oldest = await self._link.run(look)
        run_id, self._run_id = self._run_id, server["run_id"]
        if run_id != self._run_id:
            # Another Redis (restarted, failed over), perhaps without the leases; renewals write them again.
            return False
        if oldest and seconds - int(oldest[0][0].partition("-")[0]) / 1000 > MAX_STREAM_AGE_SECONDS:
            return False
        queue = await self._usage.depth()
        return queue.visible + queue.delayed <= MAX_QUEUE_MESSAGES

    async def _without_lease(self, readings: Sequence[UsageReading]) -> list[UsageReading]:
        async def look(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.time()
                for one in readings:
                    pipe.zscore(leases_key(one.project_id), one.request_id)
                return await pipe.execute()

        (seconds, _), *expiries = await self._link.run(look)
        now_ms = seconds * 1000
        return [one for one, expiry in zip(readings, expiries, strict=True) if expiry is None or float(expiry) < now_ms]

    async def _write(self, orphans: Sequence[UsageReading]) -> None:
        async def write(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for one in orphans:
                    pipe.xadd(USAGE_STREAM, {USAGE_FIELD: one.to_json()})
                await pipe.execute()

        await self._link.run(write)
        CLOSED.inc(len(orphans))
        for one in orphans:
            log.warning("orphan closed", request_id=one.request_id, audio_ms=one.audio_ms)


def closing(row: Checkpoint) -> UsageReading:
    """What a row's last checkpoint said, as the reading that closes its request."""
    values = asdict(row) | {"tags": tuple(row.tags), "features": tuple(row.features)}
    return UsageReading(**values, rank=Rank.INCOMPLETE)
