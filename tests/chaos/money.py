"""Judges a run's money: Redis and PostgreSQL agree on what was spent, and balances and statements on what is left."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import redis.asyncio as redis

from aldea.postgres import Database
from aldea.redis.schema import spent_key
from aldea.sqs import Depth
from backend.credits.settlement import SETTLED_SECONDS, Settlement
from backend.replication.mirror import Mirror
from backend.replication.mirrored_rows import MirroredRows
from backend.statements.service import StatementService
from backend.usage import repository as usage
from tests.support.proxies import patient_link


async def behind(client: "redis.Redis", connection: "asyncpg.Connection[Any]") -> str:
    """Which account spends less in Redis than in PostgreSQL; empty if none does: key_sync raises them."""
    for row in await connection.fetch("select account_id::text, spent_micros from account_spend", timeout=60):
        found = int(await client.hget(spent_key(row["account_id"]), "micros") or 0)
        if found < row["spent_micros"]:
            return f"account {row['account_id']} has spent {row['spent_micros']} micro-dollars, in redis {found}"
    return ""


class _Empty:
    """The queue of a pipeline that has come to rest."""

    async def depth(self) -> Depth:
        return Depth(0, 0, 0)


async def differences(database: Database, redis_url: str) -> list[str]:
    """What is wrong with the money of a platform at rest, once failovers' surplus was taken away."""
    now = 0.0
    async with patient_link(redis_url) as link:
        mirror = Mirror(link, MirroredRows(database))
        settlement = Settlement(database, link, mirror, _Empty(), clock=lambda: now)
        await settlement.sweep_now()
        now += SETTLED_SECONDS
        await settlement.sweep_now()
        async with database.connection() as connection:
            accounts = await connection.fetch("select account_id::text, spent_micros from account_spend")
            projects = await connection.fetch("select project_id::text from projects where deleted is null")
        spent = await mirror.spent([row["account_id"] for row in accounts])
    wrong = [
        f"account {row['account_id']}: spent {row['spent_micros']}, in redis {spent[row['account_id']].micros}"
        for row in accounts
        if spent[row["account_id"]].micros != row["spent_micros"]
    ]
    for row in projects:
        async with database.connection() as connection:
            balance = (await usage.balance(connection, row["project_id"])).amount_micros
        stated = await StatementService(database).of_project(row["project_id"], f"{datetime.now(UTC):%Y-%m}")
        if stated.closing_micros != balance:
            wrong.append(
                f"project {row['project_id']}: balance {balance}, its statement ends at {stated.closing_micros}"
            )
    return wrong
