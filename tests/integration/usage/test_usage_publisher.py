"""The publisher between a real Redis and a real SQS wire: entries leave the stream only once the queue has them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import USAGE_FIELD, USAGE_GROUP, USAGE_STREAM
from aldea.sqs import Queue, SqsUnavailable
from aldea.tasks import spawn
from aldea.usage.envelope import Stamped, decode
from aldea.usage.reading import Rank, UsageReading
from backend.pipeline import stream as streaming
from backend.pipeline.publisher import Publisher
from backend.pipeline.stream import UsageStream
from tests.integration.conftest import UsageQueues
from tests.readings import reading
from tests.support.proxies import eventually


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    async with streaming.connect(redis_url) as found:
        yield found


def publisher(link: RedisLink, queues: UsageQueues, **changes: Any) -> Publisher:
    stream = UsageStream(link, claim_idle_ms=changes.pop("claim_idle_ms", streaming.CLAIM_IDLE_MS))
    return Publisher(stream, queues.usage, queues.dead_letters, **{"linger_seconds": 0, **changes})


async def written(redis_client: "redis.Redis", *readings: UsageReading) -> None:
    for one in readings:
        await redis_client.xadd(USAGE_STREAM, {USAGE_FIELD: one.to_json()})


async def received(queue: Queue) -> list[Stamped]:
    """All readings in the queue now; fails on a text that is none."""
    found: list[Stamped] = []
    while messages := await queue.receive(wait=0, visibility=60):
        for message in messages:
            good, bad = decode(message.body)
            assert not bad
            found += good
    return found


async def drained(one: Publisher, redis_client: "redis.Redis") -> None:
    """Step until the stream is empty and nothing is pending."""
    async with asyncio.timeout(60):
        while await redis_client.xlen(USAGE_STREAM):
            await one.step()
    assert (await redis_client.xpending(USAGE_STREAM, USAGE_GROUP))["pending"] == 0


async def test_readings_travel_and_leave_the_stream(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    readings = [reading(tags=("t\uffff", "é😀")) for _ in range(500)]
    await written(redis_client, *readings)
    await drained(publisher(link, usage_queues), redis_client)
    found = await received(usage_queues.usage)
    assert {item.reading for item in found} == set(readings)
    assert all(item.written_ms > 1_700_000_000_000 for item in found)


async def test_readings_of_one_request_are_coalesced_and_every_entry_is_acknowledged(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    first = reading()
    final = reading(request_id=first.request_id, rank=Rank.FINAL, seq=2, audio_ms=5)
    late = reading(request_id=first.request_id, seq=7)
    await written(redis_client, first, final, late, first)
    await drained(publisher(link, usage_queues), redis_client)
    assert [item.reading for item in await received(usage_queues.usage)] == [final]


async def test_what_a_dead_peer_had_in_hand_is_claimed_and_sent(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    readings = [reading() for _ in range(5)]
    await written(redis_client, *readings)
    await redis_client.xgroup_create(USAGE_STREAM, USAGE_GROUP, "0")
    assert await redis_client.xreadgroup(USAGE_GROUP, "killed", {USAGE_STREAM: ">"}, count=5)
    await drained(publisher(link, usage_queues, claim_idle_ms=0), redis_client)
    assert {item.reading for item in await received(usage_queues.usage)} == set(readings)


async def test_a_lost_group_is_created_anew_from_the_beginning(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    one = publisher(link, usage_queues)
    before, after = reading(), reading()
    await written(redis_client, before)
    await drained(one, redis_client)
    await redis_client.delete(USAGE_STREAM)
    await written(redis_client, after)
    await drained(one, redis_client)
    assert {item.reading for item in await received(usage_queues.usage)} == {before, after}


async def test_entries_that_fell_out_of_the_group_are_read_again(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    lost = reading()
    await written(redis_client, lost)
    await redis_client.xgroup_create(USAGE_STREAM, USAGE_GROUP, "0")
    await redis_client.xreadgroup(USAGE_GROUP, "forgotten", {USAGE_STREAM: ">"})
    await redis_client.xgroup_delconsumer(USAGE_STREAM, USAGE_GROUP, "forgotten")
    await drained(publisher(link, usage_queues), redis_client)
    assert [item.reading for item in await received(usage_queues.usage)] == [lost]


async def test_idle_consumers_with_nothing_pending_are_deleted_and_others_stay(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis_client.xgroup_create(USAGE_STREAM, USAGE_GROUP, "0", mkstream=True)
    await written(redis_client, reading())
    await redis_client.xreadgroup(USAGE_GROUP, "busy", {USAGE_STREAM: ">"})
    await redis_client.xreadgroup(USAGE_GROUP, "idle", {USAGE_STREAM: ">"})
    monkeypatch.setattr(streaming, "FORGET_IDLE_MS", -1)
    one = publisher(link, usage_queues)
    await one.step()
    names = {found["name"] for found in await redis_client.xinfo_consumers(USAGE_STREAM, USAGE_GROUP)}
    assert "busy" in names
    assert "idle" not in names


async def test_an_unreadable_entry_goes_alone_to_the_dead_letter_queue_with_its_reason(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    good = reading()
    await written(redis_client, good)
    await redis_client.xadd(USAGE_STREAM, {USAGE_FIELD: good.to_json().replace('"seq":1', '"seq":"\\ud800"')})
    await redis_client.xadd(USAGE_STREAM, {"other": "field"})
    await redis_client.xadd(USAGE_STREAM, {USAGE_FIELD: b"\xff\xfe"})
    await redis_client.xadd(USAGE_STREAM, {USAGE_FIELD: "😀" * 100_000})
    await drained(publisher(link, usage_queues), redis_client)
    assert [item.reading for item in await received(usage_queues.usage)] == [good]
    letters = [json.loads(message.body) for message in await usage_queues.dead_letters.receive(wait=0, visibility=60)]
    reasons = sorted(letter["reason"].partition(":")[0] for letter in letters)
    assert reasons == ["not JSON", "not UTF-8", "seq", "the stream entry has no reading field"]
    assert [letter for letter in letters if "text cut from 100000 characters" in letter["reason"]]


class FailingQueue(Queue):
    """The real queue, with calls or single entries of a call failing first, as SQS does under load."""

    def __init__(self, real: Queue, script: list[str]) -> None:
        super().__init__(real._client, real.url)
        self.script = script

    async def send(self, bodies: Any) -> dict[int, str]:
        step = self.script.pop(0) if self.script else "ok"
        if step == "call":
            raise SqsUnavailable("EndpointConnectionError")
        if step == "entries":
            failed = dict.fromkeys(range(0, len(bodies), 2), "ServiceUnavailable: try again")
            await super().send([body for index, body in enumerate(bodies) if index not in failed] or ["{}"])
            return failed
        if step == "response lost":
            await super().send(bodies)
            raise SqsUnavailable("ReadTimeoutError")
        if step == "unsendable":
            if len(bodies) > 1:
                await super().send(bodies[1:])
            return {0: "InvalidMessageContents: characters outside the allowed set"}
        return await super().send(bodies)


async def test_failed_calls_and_failed_entries_of_a_call_are_sent_again(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    readings = [reading(tags=("x" * 500,)) for _ in range(400)]
    await written(redis_client, *readings)
    queue = FailingQueue(usage_queues.usage, ["call", "entries", "response lost", "entries"])
    one = Publisher(UsageStream(link), queue, usage_queues.dead_letters, linger_seconds=0)
    await drained(one, redis_client)
    assert {item.reading for item in await received(usage_queues.usage)} == set(readings)
    assert queue.script == []


async def test_a_reading_that_sqs_will_never_take_goes_alone_to_the_dead_letter_queue(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    bad, good = reading(), reading()
    await written(redis_client, bad, good)
    queue = FailingQueue(usage_queues.usage, ["unsendable", "unsendable"])
    await drained(Publisher(UsageStream(link), queue, usage_queues.dead_letters, linger_seconds=0), redis_client)
    assert [item.reading for item in await received(usage_queues.usage)] == [good]
    [message] = await usage_queues.dead_letters.receive(wait=0, visibility=60)
    assert json.loads(message.body)["reading"] == bad.to_json()


async def test_an_acknowledgement_that_redis_did_not_confirm_is_repeated(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = publisher(link, usage_queues)
    await one.step()
    await written(redis_client, reading())
    await redis_client.config_set("min-replicas-to-write", "1")  # reads go on, writes are refused
    try:
        with pytest.raises(RedisUnavailable):
            await one.step()
    finally:
        await redis_client.config_set("min-replicas-to-write", "0")
    await drained(one, redis_client)


async def test_stop_finishes_the_batch_in_hand(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues
) -> None:
    one = publisher(link, usage_queues, linger_seconds=5)
    one.start()
    sent = reading()
    await written(redis_client, sent)
    async with asyncio.timeout(60):
        while not (await redis_client.exists(USAGE_STREAM) and await in_hand(redis_client)):
            await asyncio.sleep(0.01)
    await one.stop()
    assert await redis_client.xlen(USAGE_STREAM) == 0
    assert [item.reading for item in await received(usage_queues.usage)] == [sent]


async def test_a_publisher_that_waits_for_an_entry_is_woken_when_it_stops(
    redis_client: "redis.Redis", link: RedisLink, usage_queues: UsageQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BLOCK_MS", 60_000)  # by itself it would stop after a failure, not before
    stream = UsageStream(link)
    await stream.create_group()
    waiting = spawn(stream.read(1, block=True), name="waiting")
    await eventually(lambda: somebody_waits(redis_client))
    await stream.wake()
    assert await waiting == []
    await stream.wake()  # nothing waits


async def somebody_waits(redis_client: "redis.Redis") -> bool:
    return bool((await redis_client.info("clients"))["blocked_clients"])


async def in_hand(redis_client: "redis.Redis") -> bool:
    groups = await redis_client.xinfo_groups(USAGE_STREAM)
    return bool(groups and groups[0]["pending"])
