"""Requests whose proxy died, in a real Redis, SQS wire and PostgreSQL: closed from the last checkpoint, once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp.test_utils import TestServer

from aldea.postgres import Database
from aldea.redis.link import RedisLink
from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM, leases_key
from aldea.settings import read
from aldea.usage.reading import Rank, UsageReading
from backend.app import make_app
from backend.pipeline.orphans import Orphans
from backend.settings import BackendSettings
from sqs_updater.writer import Writer
from tests.integration.conftest import UsageQueues
from tests.readings import PROJECT, reading
from tests.support.proxies import REDIS_COMMAND_SECONDS, patient_link

AN_HOUR_MS = 3_600_000


async def forgotten(database: Database, **changes: Any) -> UsageReading:
    """A row that was last touched an hour ago."""
    one = reading(**changes)
    await Writer(database).merge([one])
    async with database.connection() as connection:
        await connection.execute("update usage_requests set updated = now() - interval '1 hour'")
    return one


async def closed(redis_client: "redis.Redis") -> list[UsageReading]:
    entries: Any = await redis_client.xrange(USAGE_STREAM)
    return [UsageReading.from_json(fields[USAGE_FIELD]) for _, fields in entries]


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with patient_link(redis_url) as found:
        yield found


async def calm(database: Database, link: RedisLink, queues: UsageQueues) -> Orphans:
    """A sweeper that has seen a calm pipeline for long enough."""
    sweeper = Orphans(database, link, queues.usage)
    assert await sweeper.sweep() == 0
    assert await sweeper.sweep() == 0
    assert sweeper._calm_since is not None
    sweeper._calm_since -= 3600
    return sweeper


async def test_an_open_request_without_a_lease_is_closed_from_its_last_checkpoint(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    one = await forgotten(database, seq=4, audio_ms=40_000, tags=("a", "b"))
    sweeper = await calm(database, link, usage_queues)
    assert await sweeper.sweep() == 1
    [found] = await closed(redis_client)
    assert (found.request_id, found.rank, found.seq, found.audio_ms) == (one.request_id, Rank.INCOMPLETE, 4, 40_000)
    assert found.tags == ("a", "b")

    writer = Writer(database)
    assert (await writer.merge([found])).merged == 1
    assert await sweeper.sweep() == 0
    final = reading(request_id=one.request_id, rank=Rank.FINAL, seq=6, audio_ms=61_000)
    assert (await writer.merge([final])).merged == 1


async def test_a_request_whose_proxy_died_within_its_first_second_is_closed_from_its_opening(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    opening = await forgotten(database, seq=0)  # what admission writes: no checkpoint has come yet
    sweeper = await calm(database, link, usage_queues)
    assert await sweeper.sweep() == 1
    [found] = await closed(redis_client)
    assert (found.request_id, found.rank, found.audio_ms) == (opening.request_id, Rank.INCOMPLETE, 0)
    assert (await Writer(database).merge([found])).merged == 1
    assert await sweeper.sweep() == 0


async def test_a_request_that_holds_a_lease_or_was_touched_or_has_ended_stays(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    alive = await forgotten(database)
    await forgotten(database, rank=Rank.FINAL)
    await forgotten(database, rank=Rank.INCOMPLETE)
    await Writer(database).merge([reading()])
    seconds, _ = await redis_client.time()
    await redis_client.zadd(leases_key(PROJECT), {alive.request_id: seconds * 1000 + AN_HOUR_MS})
    sweeper = await calm(database, link, usage_queues)
    assert await sweeper.sweep() == 0
    await redis_client.zadd(leases_key(PROJECT), {alive.request_id: seconds * 1000 - AN_HOUR_MS})
    assert await sweeper.sweep() == 1
    assert [one.request_id for one in await closed(redis_client)] == [alive.request_id]


async def test_while_the_stream_lags_nothing_is_closed(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    await forgotten(database)
    sweeper = await calm(database, link, usage_queues)
    seconds, _ = await redis_client.time()
    await redis_client.xadd(USAGE_STREAM, {USAGE_FIELD: "{}"}, id=f"{seconds * 1000 - AN_HOUR_MS}-0")
    assert await sweeper.sweep() == 0
    await redis_client.delete(USAGE_STREAM)
    assert await sweeper.sweep() == 0, "the calm has to last anew"


async def test_while_the_queue_is_long_nothing_is_closed(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    await forgotten(database)
    sweeper = await calm(database, link, usage_queues)
    for _ in range(3):
        await usage_queues.usage.send(["waiting"] * 10)
    assert await sweeper.sweep() == 0
    assert await closed(redis_client) == []


async def test_another_redis_begins_the_calm_anew(
    database: Database, link: RedisLink, redis_client: "redis.Redis", usage_queues: UsageQueues
) -> None:
    await forgotten(database)
    sweeper = await calm(database, link, usage_queues)
    sweeper._run_id = "the one before the failover"
    assert await sweeper.sweep() == 0
    assert sweeper._calm_since is None


async def test_sweeping_outlives_a_lost_store_and_begins_the_calm_anew(
    database: Database,
    link: RedisLink,
    redis_client: "redis.Redis",
    usage_queues: UsageQueues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweeper = await calm(database, link, usage_queues)
    monkeypatch.setattr(sweeper, "_every", 0.01)
    swept: list[float | None] = []

    async def failing() -> int:
        swept.append(sweeper._calm_since)
        raise (redis.ConnectionError("lost") if len(swept) == 1 else RuntimeError("a defect"))

    monkeypatch.setattr(sweeper, "sweep", failing)
    sweeper.start()
    async with asyncio.timeout(60):
        while len(swept) < 3:
            await asyncio.sleep(0.01)
    await sweeper.stop()
    assert swept[0] is not None
    assert swept[1] is None


async def test_the_backend_itself_sweeps(
    database_url: str, database: Database, redis_url: str, usage_queues: UsageQueues
) -> None:
    one = await forgotten(database)
    settings = read(
        BackendSettings,
        sqs_endpoint_url=usage_queues.settings.sqs_endpoint_url,
        usage_queue_url=usage_queues.settings.usage_queue_url,
        usage_dlq_url=usage_queues.settings.usage_dlq_url,
        database_url=database_url,
        redis_url=redis_url,
        redis_command_seconds=REDIS_COMMAND_SECONDS,
        lease_ttl_seconds=0.1,
    )
    async with TestServer(make_app(settings)), asyncio.timeout(60):
        while not (messages := await usage_queues.usage.receive(wait=1, visibility=30)):
            pass
    assert one.request_id in messages[0].body
