"""One run: start the platform, drive it, strike it, let it come to rest, and judge the bill."""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import asyncpg
import redis.asyncio as redis

from aldea.credentials import sha256_hex
from aldea.postgres import Database
from aldea.redis.schema import USAGE_GROUP, USAGE_STREAM
from aldea.tasks import cancel, spawn
from backend.pipeline.charges import reconcile_charges, reconcile_spend
from backend.pipeline.rollups import reconcile
from http_proxy.callbacks.store import DUE as WAITING_CALLBACKS
from onebox import stores
from onebox.ports import free_port
from tests.chaos import alerts, money, tap
from tests.chaos.book import Book
from tests.chaos.fleet import HAD_TO_BE_KILLED, Fleet
from tests.chaos.load import Load
from tests.chaos.plan import Fault, Scale, plan
from tests.chaos.receiver import Receiver
from tests.chaos.verdict import Row, Verdict, judge
from tests.chaos.wire import Wire

# Coming to rest takes some leases (a request is closed after two without a word, in calm) and some claims.
REST_SECONDS: Final = 120.0
REST_LEASES: Final = 20
PROGRESS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has shown."""

    verdict: Verdict
    faults: Counter[str]
    wire: Counter[str]
    callbacks: dict[str, int]
    seconds: float
    rest_seconds: float
    # Requests that the backend closed from their last checkpoint; of those, how many a final reading overrode.
    given_up: int
    came_back: int
    # Requests whose proxy was killed within their first second.
    died_young: int
    # Streams that went on at another STT server, and how often.
    unbroken: int
    failovers: int


async def run(scale: Scale, report: Callable[[str], None]) -> Outcome:
    """Run once. The logs of the processes are kept if something is wrong. Raises StartFailed, or TimeoutError."""
    folder = Path(tempfile.mkdtemp(prefix="aldea-chaos-"))
    folder.chmod(0o711)  # PostgreSQL may run as a user of its own
    keep = True
    try:
        outcome = await _Run(folder, scale, report).run()
        keep = bool(outcome.verdict.failures)
        return outcome
    finally:
        if keep:
            report(f"logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, folder: Path, scale: Scale, report: Callable[[str], None]) -> None:
        self._scale = scale
        self._say = report
        self._book = Book()
        self._wire = Wire(scale.seed, scale.longest_fault, lambda reading: self._book.saw(reading, time.monotonic()))
        self._fleet = Fleet(folder, scale, self._wire, self._book)
        self._receiver = Receiver(scale.seed, self._book)
        self._faults: Counter[str] = Counter()

    async def run(self) -> Outcome:
        background = []
        load = None
        try:
            await self._fleet.start()
            self._receiver.secret = sha256_hex(self._fleet.key)
            await self._receiver.start(free_port())
            self._receiver.alert_secret = await alerts.prepare(self._fleet.postgres.url, self._receiver.url)
            self._say(f"the platform is up: {', '.join(self._fleet.units)}")
            background.append(spawn(tap.listen(self._fleet.redis_url, self._book), name="tap"))
            background.append(spawn(self._report(), name="report"))
            load = self._load()
            began = time.monotonic()
            load.start()
            self._wire.hostile = True
            await self._strike()
            self._wire.hostile = False
            self._say("no more faults; waiting for the last requests and for the pipeline to come to rest")
            await load.finish()
            rested = await self._rest()
            rows = await self._rows()
            moves = [row.failovers for row in rows if row.failovers]
            return Outcome(
                verdict=await self._judge(rows),
                faults=self._faults,
                wire=self._wire.counts + self._receiver.counts,
                callbacks=self._book.callbacks,
                seconds=time.monotonic() - began,
                rest_seconds=rested,
                given_up=self._book.given_up,
                came_back=self._book.came_back,
                died_young=self._book.died_young,
                unbroken=len(moves),
                failovers=sum(moves),
            )
        finally:
            if load is not None:
                await load.abort()
            await cancel(*background)
            await self._wire.stop()
            await self._receiver.stop()
            self._fleet.stop()
            await self._fleet.redis.name.stop()

    def _load(self) -> Load:
        addresses = {
            kind: [(name, f"http://127.0.0.1:{self._fleet.ports[name]}") for name in names]
            for kind, names in self._fleet.proxies.items()
        }
        return Load(self._scale, self._book, self._fleet.key, addresses, self._receiver.url)

    async def _strike(self) -> None:
        """Inject the planned faults at their times; returns when the last has been undone."""
        targets = list(self._fleet.units)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for fault in plan(self._scale, targets):
                await asyncio.sleep(max(0.0, began + fault.at - asyncio.get_running_loop().time()))
                group.create_task(self._one(fault))
            await asyncio.sleep(max(0.0, began + self._scale.seconds - asyncio.get_running_loop().time()))

    async def _one(self, fault: Fault) -> None:
        self._faults[await self._fleet.strike(fault)] += 1
        if ended := self._fleet.ended_by_themselves():
            raise AssertionError(f"ended although nothing was done to them: {ended}")

    async def _rest(self) -> float:
        """Wait until nothing is on its way and nothing is open. Seconds it took; raises TimeoutError."""
        began = time.monotonic()
        limit = REST_SECONDS + REST_LEASES * self._scale.lease_ttl
        why = ""
        try:
            async with asyncio.timeout(limit):
                while why := await self._unrest():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise TimeoutError(f"the pipeline did not come to rest within {limit:g} s: {why}") from None
        return time.monotonic() - began

    async def _unrest(self) -> str:
        """What is still on its way or open; empty if nothing is."""
        async with redis.from_url(self._fleet.redis_url) as client:
            if entries := await client.xlen(USAGE_STREAM):
                return f"{entries} entries in the Redis stream"
            groups: Any = await client.xinfo_groups(USAGE_STREAM)
            if pending := sum(group["pending"] for group in groups if group["name"] == USAGE_GROUP.encode()):
                return f"{pending} entries pending"
            if projects := await client.zcard(WAITING_CALLBACKS):
                return f"callbacks of {projects} projects wait"
        if waiting := await self._wire.depth(stores.USAGE_QUEUE):
            return f"{waiting} messages in the queue"
        connection = await asyncpg.connect(self._fleet.postgres.url, timeout=60)
        try:
            still = await connection.fetch("select tags[1] as tag from usage_requests where rank = 0", timeout=60)
            async with redis.from_url(self._fleet.redis_url, decode_responses=True) as client:
                behind = await money.behind(client, connection) or await alerts.unrest(connection)
        finally:
            await connection.close(timeout=60)
        return f"open requests: {[row['tag'] for row in still][:5]}" if still else behind

    async def _rows(self) -> list[Row]:
        connection = await asyncpg.connect(self._fleet.postgres.url, timeout=60)
        try:
            found = await connection.fetch(
                "select coalesce(tags[1], '') as tag, request_id::text, rank, seq, audio_ms, failovers "
                "from usage_requests"
            )
        finally:
            await connection.close(timeout=60)
        return [Row(**dict(row)) for row in found]

    async def _judge(self, rows: list[Row]) -> Verdict:
        async with asyncpg.create_pool(self._fleet.postgres.url, min_size=0, max_size=1) as pool:
            daily: int = await pool.fetchval("select coalesce(sum(audio_ms), 0)::bigint from usage_daily")
            days: list[date] = [row["day"] for row in await pool.fetch("select distinct day from usage_daily")]
            differences = [
                f"{day}: {one}"
                for day in days
                for one in (
                    *await reconcile_charges(Database(pool), day, repair=False),
                    *await reconcile(Database(pool), day, repair=False),
                )
            ]
            differences += map(str, await reconcile_spend(Database(pool), repair=False))
            differences += await alerts.differences(pool, self._receiver.alerts)
            differences += await money.differences(Database(pool), self._fleet.redis_url)
        forced = [name for name in self._faults if name.endswith(HAD_TO_BE_KILLED)]
        dead = await self._wire.depth(stores.USAGE_DLQ)
        verdict = judge(self._book, rows, daily_ms=daily, dead_letters=dead, differences=differences)
        verdict.failures += [f"{name}: it did not end by itself" for name in forced]
        return verdict

    async def _report(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            outcomes = Counter(one.outcome for one in self._book.driven.values())
            seen = ", ".join(f"{many} {name}" for name, many in sorted(outcomes.items()))
            self._say(f"{time.monotonic() - began:5.0f} s: {self._faults.total()} faults; requests: {seen}")
