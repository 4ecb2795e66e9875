"""The worker between real SQS and real PostgreSQL: what is deleted was committed, bad readings are rejected."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aldea.postgres import Database, DatabaseUnavailable
from aldea.sqs import SqsUnavailable
from aldea.tasks import spawn
from aldea.usage.envelope import Rejected, dead_letter, encode
from aldea.usage.reading import Rank, UsageReading
from sqs_updater import consumer as consuming
from sqs_updater.consumer import MAX_FAILURE_RUN, Consumer, FailureRun
from sqs_updater.replay import replay
from sqs_updater.writer import Merged, Writer
from tests.integration.conftest import UsageQueues
from tests.readings import STARTED_MS, reading

ROOT = Path(__file__).resolve().parents[3]


def body(*readings: UsageReading) -> str:
    return encode([one.to_json() for one in readings], [0] * len(readings))


async def stored(database: Database) -> set[str]:
    async with database.connection() as connection:
        return {row["id"] for row in await connection.fetch("select request_id::text as id from usage_requests")}


async def test_messages_are_merged_then_deleted(usage_queues: UsageQueues, database: Database) -> None:
    readings = [reading() for _ in range(30)]
    await usage_queues.usage.send([body(*readings[start : start + 10]) for start in (0, 10, 20)])
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))
    assert await worker.step(wait=1) == 3
    assert await stored(database) == {one.request_id for one in readings}
    assert (await usage_queues.usage.depth()).total == 0


async def test_workers_side_by_side_bill_a_queue_of_repeated_and_reordered_messages_once(
    usage_queues: UsageQueues, database: Database
) -> None:
    rng = random.Random(7)
    written = []
    for number in range(40):
        fixed = {"request_id": reading().request_id}
        written += [reading(**fixed, seq=seq, audio_ms=seq * 100) for seq in range(1, 5)]
        written.append(reading(**fixed, rank=Rank.FINAL, seq=5, audio_ms=number))
    deliveries = written * 2
    rng.shuffle(deliveries)
    bodies = [body(*deliveries[start : start + 5]) for start in range(0, len(deliveries), 5)]
    for start in range(0, len(bodies), 10):
        assert not await usage_queues.usage.send(bodies[start : start + 10])
    workers = [Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database)) for _ in range(4)]
    running = [spawn(worker.run(), name=f"worker-{number}") for number, worker in enumerate(workers)]
    async with asyncio.timeout(60):
        while (await usage_queues.usage.depth()).total:
            await asyncio.sleep(0.05)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)
    assert (await usage_queues.dead_letters.depth()).total == 0
    async with database.connection() as connection:
        [sums] = await connection.fetch(
            "select sum(audio_ms)::int as audio_ms, sum(requests)::int as requests from usage_daily"
        )
        ranks = await connection.fetch("select distinct rank from usage_requests")
    assert (sums["audio_ms"], sums["requests"]) == (sum(range(40)), 40)
    assert [row["rank"] for row in ranks] == [Rank.FINAL]


async def test_poison_goes_alone_to_the_dead_letter_queue_and_the_rest_of_its_message_is_merged(
    usage_queues: UsageQueues, database: Database
) -> None:
    good = [reading() for _ in range(9)]
    refused = reading(channels=1 << 40)  # readable, but no row of PostgreSQL holds it
    unreadable = '{"request_id":"no"}'
    texts = [one.to_json() for one in (*good[:4], refused, *good[4:])]
    await usage_queues.usage.send([encode([*texts[:5], unreadable, *texts[5:]], []), "not JSON at all"])
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))
    await worker.step(wait=1)
    assert await stored(database) == {one.request_id for one in good}
    assert (await usage_queues.usage.depth()).total == 0
    letters = [json.loads(message.body) for message in await usage_queues.dead_letters.receive(wait=1, visibility=60)]
    found = {letter["reading"]: letter["reason"] for letter in letters}
    assert set(found) == {refused.to_json(), json.dumps(json.loads(unreadable)), "not JSON at all"}
    assert "out of" in found[refused.to_json()]


async def test_readings_of_a_dropped_month_are_dead_letters_with_their_reason_however_many_and_however_often(
    usage_queues: UsageQueues, database: Database
) -> None:
    old = [reading(audio_ms=60_000) for _ in range(MAX_FAILURE_RUN + 5)]
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))
    await usage_queues.usage.send([body(*old)])
    await worker.step(wait=1)
    async with database.connection() as connection:
        await connection.execute("select drop_usage_before('2026-05-01')")
    good = reading(started_ms=STARTED_MS + 100 * 86_400_000, audio_ms=5)
    await usage_queues.usage.send([body(*old[:-1]), body(old[-1], good)])
    while await worker.step(wait=1):
        pass
    assert await stored(database) == {good.request_id}
    for _ in range(2):
        assert (await usage_queues.dead_letters.depth()).total == len(old)
        # Sent through again, they come back; they do not stop the worker.
        done = await replay(usage_queues.dead_letters, usage_queues.usage, wait=1)
        assert (done.readings, done.unreadable) == (len(old), 0)
        while await worker.step(wait=1):
            pass
    [letter, *_] = await usage_queues.dead_letters.receive(wait=1, visibility=60)
    assert "kept since 2026-05-01" in json.loads(letter.body)["reason"]
    async with database.connection() as connection:
        assert await connection.fetchval("select sum(audio_ms)::int from usage_daily") == 60_000 * len(old) + 5


async def test_while_the_database_is_unavailable_nothing_is_received(
    usage_queues: UsageQueues, database: Database
) -> None:
    class Unavailable(Writer):
        async def probe(self) -> None:
            raise DatabaseUnavailable("unavailable")

    await usage_queues.usage.send([body(reading())])
    with pytest.raises(DatabaseUnavailable):
        await Consumer(usage_queues.usage, usage_queues.dead_letters, Unavailable(database)).step(wait=1)
    [message] = await usage_queues.usage.receive(wait=1, visibility=0)
    assert message.receives == 1


async def test_a_database_lost_after_the_receive_leaves_the_message_and_dead_letters_nothing(
    usage_queues: UsageQueues, database: Database
) -> None:
    class Lost(Writer):
        async def merge(self, readings: Sequence[UsageReading]) -> Merged:
            await super().merge(readings)
            raise DatabaseUnavailable("the connection broke; whether it was committed is not known")

    one = reading(audio_ms=5)
    await usage_queues.usage.send([body(one)])
    with pytest.raises(DatabaseUnavailable):
        await Consumer(usage_queues.usage, usage_queues.dead_letters, Lost(database)).step(wait=1)
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))
    async with asyncio.timeout(60):
        while not await worker.step(wait=2):
            pass
    assert (await usage_queues.usage.depth()).total == 0
    assert (await usage_queues.dead_letters.depth()).total == 0
    async with database.connection() as connection:
        assert await connection.fetchval("select sum(audio_ms) from usage_daily") == 5


async def test_a_batch_slower_than_its_visibility_is_not_handed_to_another_worker(
    usage_queues: UsageQueues, database: Database
) -> None:
    seen_elsewhere: list[Any] = []

    class Slow(Writer):
        async def merge(self, readings: Sequence[UsageReading]) -> Merged:
            # Longer than the visibility: only the extensions keep the message away from this other receiver.
            seen_elsewhere.extend(await usage_queues.usage.receive(wait=5, visibility=1))
            return await super().merge(readings)

    await usage_queues.usage.send([body(reading())])
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Slow(database), visibility_seconds=4)
    assert await worker.step(wait=1) == 1
    assert seen_elsewhere == []
    assert (await usage_queues.usage.depth()).total == 0


async def test_a_run_of_nothing_but_failures_stops_consuming_until_something_merges(
    usage_queues: UsageQueues, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "HALTED_SECONDS", 0.0)
    async with database.connection() as connection:  # a bad deployment: the schema refuses every reading
        await connection.execute("alter table usage_requests add constraint bad check (lane = 'none')")
    readings = [reading() for _ in range(40)]
    await usage_queues.usage.send([body(*readings)])
    run = FailureRun()
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database), run)
    with pytest.raises(Exception, match="roll it back"):
        await worker.step(wait=1)
    assert run.halted
    with pytest.raises(Exception, match="roll it back"):
        while not await worker.step(wait=2):
            pass
    assert (await usage_queues.dead_letters.depth()).total == 0

    async with database.connection() as connection:
        await connection.execute("alter table usage_requests drop constraint bad")
    async with asyncio.timeout(60):
        while not await worker.step(wait=2):
            pass
    assert run.length == 0
    assert await stored(database) == {one.request_id for one in readings}


async def test_while_the_dead_letter_queue_is_unavailable_the_message_stays_where_it_is(
    usage_queues: UsageQueues, database: Database
) -> None:
    class Unavailable(type(usage_queues.dead_letters)):  # type: ignore[misc]
        async def send(self, bodies: Sequence[str]) -> dict[int, str]:
            raise SqsUnavailable(f"unavailable with {len(bodies)}")

    good = reading()
    await usage_queues.usage.send([encode([good.to_json(), "{}"], [])])
    dead_letters = Unavailable(usage_queues.dead_letters._client, usage_queues.dead_letters.url)
    with pytest.raises(SqsUnavailable):
        await Consumer(usage_queues.usage, dead_letters, Writer(database)).step(wait=1)
    assert await stored(database) == {good.request_id}
    assert (await usage_queues.usage.depth()).total == 1


async def test_stop_ends_a_long_poll_at_once_and_leaves_no_task(usage_queues: UsageQueues, database: Database) -> None:
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))

    async def stop_soon() -> None:
        await asyncio.sleep(0.05)
        worker.stop()

    async with asyncio.timeout(10):  # the poll itself would last 20 s
        await asyncio.gather(worker.run(), stop_soon())


async def test_replay_sends_what_is_readable_now_and_leaves_the_rest(
    usage_queues: UsageQueues, database: Database
) -> None:
    repaired, moved, final = reading(), reading(), reading(rank=Rank.FINAL)
    whole = body(moved, final)
    await usage_queues.dead_letters.send(
        [
            dead_letter(Rejected(repaired.to_json(), "was out of range"), source="sqs_updater", at_ms=1),
            whole,  # as SQS itself moves it after too many receives
            dead_letter(Rejected(whole, "version unknown then"), source="sqs_updater", at_ms=1),
            dead_letter(Rejected("{}", "no request_id"), source="publisher", at_ms=1),
        ]
    )
    done = await replay(usage_queues.dead_letters, usage_queues.usage, wait=0)
    assert (done.letters, done.readings, done.unreadable) == (4, 5, 1)
    assert (await usage_queues.dead_letters.depth()).total == 1
    worker = Consumer(usage_queues.usage, usage_queues.dead_letters, Writer(database))
    async with asyncio.timeout(60):
        while (await usage_queues.usage.depth()).total:
            await worker.step(wait=1)
    assert await stored(database) == {repaired.request_id, moved.request_id, final.request_id}


async def test_the_replay_command_prints_what_it_did(usage_queues: UsageQueues) -> None:
    await usage_queues.dead_letters.send(
        [
            dead_letter(Rejected(reading().to_json(), "was out of range"), source="sqs_updater", at_ms=1),
            dead_letter(Rejected("{}", "no request_id"), source="publisher", at_ms=1),
        ]
    )
    settings = usage_queues.settings
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sqs_updater", "replay", "--json", "--limit", "2"),
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}/services",
            "SQS_ENDPOINT_URL": settings.sqs_endpoint_url or "",
            "USAGE_QUEUE_URL": settings.usage_queue_url,
            "USAGE_DLQ_URL": settings.usage_dlq_url,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    done = json.loads(output)
    assert "request_id" in done.pop("reasons")[0]
    assert done == {"letters": 2, "readings": 1, "unreadable": 1, "rejected_again": 0}
    assert (await usage_queues.usage.depth()).total == 1
