"""The usage pipeline beside the same upserts straight from asyncpg: `make bench-usage`.

A process has one core: PostgreSQL one for all its backends, who is measured another. `asyncpg`: the same batches by the
same statement over two connections, values prepared beforehand: what PostgreSQL itself allows on its core. `publisher`
and `updater`: each half of the pipeline alone, the other one standing still, from readings that lie in the Redis stream
or in the queue to the last row; with a core for each process the pipeline is as fast as the slower one. `pipeline`: all
at once on the cores that there are. Runs are interleaved, figures are medians. `lag`: readings written at a steady
rate, each until its row can be read.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import redis.asyncio as redis

from aldea.redis.schema import USAGE_STREAM
from aldea.usage.reading import UsageReading
from backend.pipeline.packing import Entry, calls, coalesce, pack
from benchmarks import machine
from benchmarks.relay import RESULTS
from benchmarks.usage_stage import (
    POSTGRES,
    PUBLISHER,
    REDIS,
    SQS,
    UPDATER,
    UsageStage,
    empty,
    missing,
    readings,
    stored,
    write,
)
from sqs_updater.writer import MERGE, columns

# As many batches at a time as an sqs_updater has in hand.
CONNECTIONS: Final = 2
TICK_SECONDS: Final = 0.01
POLL_SECONDS: Final = 0.01
# The longest that anything measured may take.
LIMIT_SECONDS: Final = 120.0

S = TypeVar("S")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    runs: int = 5
    readings: int = 40_000
    rate: int = 1000
    lag_seconds: int = 30
    lag_runs: int = 2


QUICK: Final = Sizes(runs=2, readings=16_000, lag_seconds=8, lag_runs=1)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    text: str
    value: float
    must: float
    aim: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is what it must be."""
        return self.value >= self.must if self.at_least else self.value <= self.must


class Bench:
    """The measurements on a stage."""

    def __init__(
        self, on: UsageStage, client: "redis.Redis", connection: "asyncpg.Connection[asyncpg.Record]", sizes: Sizes
    ) -> None:
        self._on = on
        self._redis = client
        self._connection = connection
        self._sizes = sizes

    async def asyncpg(self) -> dict[str, float]:
        """The same batches straight into PostgreSQL."""
        await empty(self._connection)
        batches = [columns(batch) for batch in _batches(readings(self._sizes.readings))]
        before = self._on.cpu()
        pool = asyncpg.create_pool(self._on.postgres.url, min_size=CONNECTIONS, max_size=CONNECTIONS)
        with self._on.beside(UPDATER):
            async with pool:
                began = time.perf_counter()

                async def work() -> None:
                    async with pool.acquire() as connection:
                        while batches:
                            await connection.fetchval(MERGE, *batches.pop())

                await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
                # Before the connections end: what an ended process has cost is no longer known.
                return self._found(time.perf_counter() - began, before, self._sizes.readings)

    async def pipeline(self) -> dict[str, float]:
        """All at once."""
        await empty(self._connection)
        with self._on.held(PUBLISHER, UPDATER):
            await write(self._redis, readings(self._sizes.readings))
            before = self._on.cpu()
        return await self._timed(lambda: stored(self._connection), before)

    async def publisher(self) -> dict[str, float]:
        """Redis stream → SQS alone; leaves the messages in the queue for `updater`."""
        await empty(self._connection)
        # Parked in a long poll it would take the first messages when it goes on: they are the other half's to count.
        with self._on.held(UPDATER):
            with self._on.held(PUBLISHER):
                await write(self._redis, readings(self._sizes.readings))
                before = self._on.cpu()
            return await self._timed(self._gone, before)

    async def updater(self) -> dict[str, float]:
        """SQS → rows alone: what `publisher` has just left."""
        before = self._on.cpu()
        return await self._timed(lambda: stored(self._connection), before)

    async def _gone(self) -> int:
        return self._sizes.readings - int(await self._redis.xlen(USAGE_STREAM))

    async def _timed(self, done: Callable[[], Awaitable[int]], before: dict[str, float]) -> dict[str, float]:
        """From the first readings that are through to the last: what the first wait for is `lag`'s to show."""
        first = 0
        began = time.perf_counter()
        async with asyncio.timeout(LIMIT_SECONDS):
            while (count := await done()) < self._sizes.readings:
                if count and not first:
                    first, began = count, time.perf_counter()
                await asyncio.sleep(POLL_SECONDS)
        return self._found(time.perf_counter() - began, before, self._sizes.readings - first)

    def _found(self, seconds: float, before: dict[str, float], counted: int) -> dict[str, float]:
        after = self._on.cpu()
        cpu = {f"{name}_us": (after[name] - before[name]) * 1e6 / self._sizes.readings for name in before}
        return {"readings_per_s": counted / seconds, **cpu}

    async def lag(self) -> dict[str, float]:
        """Readings at a steady rate: seconds from the stream to the row, and SQS requests per 1,000."""
        sizes = self._sizes
        await empty(self._connection)
        some = readings(sizes.rate * sizes.lag_seconds)
        written: list[float] = []
        before = self._on.sqs_requests()

        async def produce() -> None:
            began = time.perf_counter()
            while len(written) < len(some):
                due = min(len(some), round((time.perf_counter() - began) * sizes.rate))
                if due > len(written):
                    batch = some[len(written) : due]
                    await write(self._redis, batch)
                    written.extend([time.perf_counter()] * len(batch))
                await asyncio.sleep(TICK_SECONDS)

        lags: list[float] = []

        async def watch() -> None:
            async with asyncio.timeout(LIMIT_SECONDS):
                while len(lags) < len(some):
                    seen, now = await stored(self._connection), time.perf_counter()
                    # Counted in the order of writing: two batches that overtake each other even out.
                    lags.extend(now - written[number] for number in range(len(lags), min(seen, len(written))))
                    await asyncio.sleep(POLL_SECONDS)

        await asyncio.gather(produce(), watch())
        requests = self._on.sqs_requests() - before
        lags.sort()
        return {
            "p50_s": lags[len(lags) // 2],
            "p99_s": lags[len(lags) * 99 // 100],
            "max_s": lags[-1],
            "sqs_requests_per_1000": requests * 1000 / len(some),
        }


def _batches(some: list[UsageReading]) -> list[list[UsageReading]]:
    """The batches that an sqs_updater would have of them."""
    kept, _ = coalesce(Entry(b"%d-0" % number, one.to_json().encode()) for number, one in enumerate(some))
    by_id = {one.request_id: one for one in some}
    texts = [[item for message in call for item in message.items] for call in calls(pack(kept.values()))]
    return [
        sorted((by_id[json.loads(item.text)["request_id"]] for item in items), key=lambda one: one.request_id)
        for items in texts
    ]


async def measure(on: UsageStage, sizes: Sizes) -> dict[str, Any]:
    """All runs, interleaved."""
    names = ("asyncpg", "pipeline", "publisher", "updater")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in (*names, "lag")}
    connection = await asyncpg.connect(on.postgres.url, timeout=10)
    try:
        async with redis.from_url(on.redis_url) as client:
            bench = Bench(on, client, connection, sizes)
            for number in range(sizes.runs):
                for name in names:
                    runs[name].append(await getattr(bench, name)())
                    rate = runs[name][-1]["readings_per_s"]
                    print(f"run {number + 1} of {sizes.runs}  {name:10} {rate:10,.0f} readings/s", file=sys.stderr)
            for _ in range(sizes.lag_runs):
                runs["lag"].append(await bench.lag())
                print(f"lag  {runs['lag'][-1]}", file=sys.stderr)
    finally:
        await connection.close()
    medians = {
        name: {figure: statistics.median(run[figure] for run in found) for figure in found[0]}
        for name, found in runs.items()
    }
    return {"medians": medians, "runs": runs}


def table(medians: dict[str, dict[str, float]]) -> list[Row]:
    """The figures and their bounds."""
    limit = medians["asyncpg"]["readings_per_s"]
    each = min(medians[name]["readings_per_s"] for name in ("publisher", "updater"))
    lag = medians["lag"]
    return [
        Row("readings/s, one core per process, against asyncpg", each / limit, 0.5, 0.8, "x", at_least=True),
        Row("reading to row at 1,000 readings/s, p99", lag["p99_s"], 3.0, 1.0, "s"),
        Row("SQS requests per 1,000 readings", lag["sqs_requests_per_1000"], 10.0, 4.0, ""),
    ]


def show(report: dict[str, Any]) -> None:
    """Print medians and the table."""
    for name, found in report["medians"].items():
        if "readings_per_s" in found:
            costs = "  ".join(
                f"{process} {found[f'{process}_us']:.1f}" for process in (PUBLISHER, UPDATER, SQS, REDIS, POSTGRES)
            )
            print(f"{name:10} {found['readings_per_s']:10,.0f} readings/s   processor µs a reading: {costs}")
    print(f"lag        p50 {report['medians']['lag']['p50_s']:.2f} s, max {report['medians']['lag']['max_s']:.2f} s")
    print(f"\n{'figure':52} {'measured':>11} {'must':>8} {'aim':>8}")
    for row in report["table"]:
        note = "" if row["met"] else "  missed"
        measured = f"{row['value']:.2f} {row['unit']}"
        print(f"{row['text']:52} {measured:>11} {row['must']:>8g} {row['aim']:>8g}{note}")


def run(
    name: str,
    doc: str | None,
    sizes: tuple[S, S],
    measured: Callable[[UsageStage, S], Coroutine[Any, Any, dict[str, Any]]],
    table: Callable[[dict[str, Any]], Sequence[Row]],
    show: Callable[[dict[str, Any]], None],
) -> None:
    """Measure on the pipeline, print, and keep the report of a full run. `sizes`: of a full run, and of a quick one."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    parser.add_argument("--quick", action="store_true", help="a short run, to see a direction; nothing is kept")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    if reasons := missing():
        raise SystemExit(f"bench-{name} cannot run here.\n" + "\n".join(reasons))
    chosen: Any = sizes[1] if options.quick else sizes[0]
    began = time.monotonic()
    with ExitStack() as stack:
        on = UsageStage(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        found = asyncio.run(measured(on, chosen))
    made = {
        "benchmark": name,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine.facts(),
        "sizes": asdict(chosen),
        "table": [{**asdict(row), "value": round(row.value, 3), "met": row.met} for row in table(found)],
        **found,
    }
    text = json.dumps(made, indent=1)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
    if options.json:
        print(text)
    else:
        show(made)


if __name__ == "__main__":
    run("usage", __doc__, (Sizes(), QUICK), measure, lambda found: table(found["medians"]), show)
