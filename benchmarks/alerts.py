"""From the reading that crosses a threshold to the webhook that was received: `make bench-alerts`.

Readings of one project at a steady 1,000 a second, and among them those of accounts of which each crosses one of its
account's thresholds. Timed from the write of the reading to the Redis stream, where a proxy's work ends, to the whole
request at a receiver on this machine: publisher, queue, sqs_updater, thresholds, outbox, delivery.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import redis.asyncio as redis
from aiohttp import web

from aldea.usage.reading import UsageReading
from backend.alerts.webhook import new_secret
from benchmarks.usage import Row, run
from benchmarks.usage_stage import UsageStage, readings, write

# What each account is granted, and so what is left of it is far from nothing.
GRANT: Final = 1_000_000_000
THRESHOLDS: Final = 5
TICK_SECONDS: Final = 0.01
# The longest that the last events may take.
LIMIT_SECONDS: Final = 120.0

# An account with a project and a webhook, whose thresholds are a reading's charge apart.
_ACCOUNT: Final = """
    with person as (
        insert into users (email, email_key, name, password_hash) values ($1, $1, $1, '') returning user_id
    ), account as (
        insert into billing_accounts (owner_id, plan, balance_thresholds)
        select user_id, 'free', array(select $3::bigint - number * $4::bigint + 1 from generate_series(1, $5) as number)
        from person returning account_id
    ), project as (
        insert into projects (name, account_id) select $1, account_id from account returning project_id, account_id
    ), hook as (
        insert into alert_endpoints (project_id, url, description, types, secret)
        select project_id, $2, '', '{balance.low}', $6 from project
    ), granted as (
        insert into ledger_entries (entry_id, account_id, project_id, kind, amount_micros, note, actor_kind)
        select uuidv7(), account_id, project_id, 'grant', $3, 'x', 'system' from project
    )
    select project_id::text from project
"""
_CHARGE: Final = """
    select charge_micros($1, micros_per_hour) from prices
    where plan = 'free' and service = 'streaming' and model is null order by effective_from desc limit 1
"""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rate: int = 1000
    seconds: int = 60
    accounts: int = 100


QUICK: Final = Sizes(seconds=10, accounts=16)


class Receiver:
    """Takes events, and notes when: by account's threshold."""

    def __init__(self, expected: int) -> None:
        """`expected`: how many events there will be; `all` is set once they are there."""
        self._expected = expected
        self.all = asyncio.Event()
        self.received: dict[tuple[str, int], float] = {}
        self.repeated = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; the URL."""
        app = web.Application()
        app.router.add_post("/{project_id}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        event = json.loads(await request.read())
        place = (request.match_info["project_id"], event["data"]["threshold_micros"])
        self.repeated += place in self.received
        self.received.setdefault(place, time.perf_counter())
        if len(self.received) == self._expected:
            self.all.set()
        return web.Response()


async def measure(on: UsageStage, sizes: Sizes) -> dict[str, Any]:
    """One run."""
    receiver = Receiver(sizes.accounts * THRESHOLDS)
    url = await receiver.start()
    connection = await asyncpg.connect(on.postgres.url, timeout=10)
    try:
        [first] = readings(1)
        charge = int(await connection.fetchval(_CHARGE, first.audio_ms))
        projects = []
        for number in range(sizes.accounts):
            project_id = await connection.fetchval(
                _ACCOUNT, f"account-{number}", url, GRANT, charge, THRESHOLDS, new_secret()
            )
            await connection.execute(
                "update alert_endpoints set url = $2 where project_id = $1", project_id, url + project_id
            )
            projects.append(project_id)
        async with redis.from_url(on.redis_url) as client:
            written = await _drive(client, projects, charge, sizes)
        async with asyncio.timeout(LIMIT_SECONDS):
            await receiver.all.wait()
    finally:
        await connection.close()
        await receiver.stop()
    lags = sorted(receiver.received[place] - when for place, when in written.items())
    return {
        "crossings": len(lags),
        "repeated": receiver.repeated,
        "p50_s": lags[len(lags) // 2],
        "p99_s": lags[len(lags) * 99 // 100],
        "max_s": lags[-1],
    }


async def _drive(client: "redis.Redis", projects: list[str], charge: int, sizes: Sizes) -> dict[tuple[str, int], float]:
    """Write readings at the rate; when each was written that crosses a threshold, by that."""
    some = readings(sizes.rate * sizes.seconds)
    every = len(some) // (len(projects) * THRESHOLDS)
    crossing: dict[int, tuple[str, int]] = {}
    for number in range(len(projects) * THRESHOLDS):
        project_id, times = projects[number % len(projects)], number // len(projects) + 1
        place = number * every
        some[place] = _of(some[place], project_id)
        crossing[place] = (project_id, GRANT - times * charge + 1)
    written: dict[tuple[str, int], float] = {}
    began, sent = time.perf_counter(), 0
    while sent < len(some):
        due = min(len(some), round((time.perf_counter() - began) * sizes.rate))
        if due > sent:
            now = time.perf_counter()
            written |= {crossing[place]: now for place in range(sent, due) if place in crossing}
            await write(client, some[sent:due])
            sent = due
        await asyncio.sleep(TICK_SECONDS)
    return written


def _of(reading: UsageReading, project_id: str) -> UsageReading:
    return UsageReading.from_json(json.dumps({**json.loads(reading.to_json()), "project_id": project_id}))


def show(found: dict[str, Any]) -> None:
    """Print a report for people."""
    print(f"{found['crossings']} crossings, {found['repeated']} received twice", file=sys.stderr)
    print(f"p50 {found['p50_s']:.2f} s, p99 {found['p99_s']:.2f} s (must 2), max {found['max_s']:.2f} s")


def table(found: dict[str, Any]) -> list[Row]:
    """The figure that has a bound."""
    return [Row("reading to webhook at 1,000 readings/s, p99", found["p99_s"], 2.0, 1.5, "s")]


if __name__ == "__main__":
    run("alerts", __doc__, (Sizes(), QUICK), measure, table, show)
