"""The writer against a real PostgreSQL: rows, rollups and truth are equal whatever order, repetition or race."""

import asyncio
import random
from datetime import date
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea.postgres import Database, DatabaseUnavailable
from aldea.usage.envelope import Stamped, decode
from aldea.usage.reading import Rank, UsageReading
from backend.pipeline.packing import Entry, coalesce, pack
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import BadReadings, Merged, Writer
from tests.readings import KEY, PROJECT, STARTED_MS, delivered, histories, reading

WRITERS = 6


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return [dict(row) for row in await connection.fetch(query)]


async def rollups_differ(database: Database) -> list[dict[str, Any]]:
    """What the rollups say and the requests do not, either way round."""
    return await rows(
        database,
        """
        with truth as (
            select project_id, day, key_id, service, endpoint, count(*)::numeric as requests, sum(audio_ms) as audio_ms,
                sum(connection_ms) as connection_ms, sum(bytes_in) as bytes_in, sum(bytes_out) as bytes_out,
                sum(charge_micros) as charge_micros
            from usage_requests group by 1, 2, 3, 4, 5)
        (table truth except table usage_daily) union all (table usage_daily except table truth)
        """,
    )


async def test_a_greater_reading_moves_row_and_rollup_and_a_lesser_or_equal_one_moves_nothing(
    database: Database,
) -> None:
    writer = Writer(database)
    first = reading(
        seq=1, audio_ms=1000, bytes_in=10, tags=("a", 'quo"te', "back\\slash", "", "é{},"),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )  # fmt: skip
    assert await writer.merge([first]) == Merged(1, 0, 0)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    fixed = {"request_id": first.request_id, "tags": first.tags}
    later = reading(**fixed, seq=5, audio_ms=9000, bytes_in=90, status=101, failovers=1)
    assert await writer.merge([later]) == Merged(1, 0, 0)
    assert await writer.merge([later]) == Merged(0, 1, 0)
    assert await writer.merge([first]) == Merged(0, 0, 1)
    final = reading(
        **fixed, rank=Rank.FINAL, seq=2, audio_ms=8500, bytes_in=95, close_code=1000, failovers=2, first_word_ms=640
    )
    assert await writer.merge([final]) == Merged(1, 0, 0)
    assert await writer.merge([later]) == Merged(0, 0, 1)

    [row] = await rows(database, "select * from usage_requests")
    assert (row["rank"], row["seq"], row["audio_ms"], row["bytes_in"]) == (2, 2, 8500, 95)
    assert (row["close_code"], row["endpoint"], row["day"]) == (1000, "/v1/listen", date(2026, 3, 31))
    assert (row["failovers"], row["first_word_ms"], row["trace_id"]) == (2, 640, trace_id)
    assert tuple(row["tags"]) == first.tags
    [rollup] = await rows(database, "select * from usage_daily")
    assert (rollup["requests"], rollup["audio_ms"], rollup["bytes_in"]) == (1, 8500, 95)


async def test_a_request_that_was_given_up_too_early_goes_on_and_its_final_overrides_all(database: Database) -> None:
    writer = Writer(database)
    opened = reading(seq=9, audio_ms=90_000)
    gone = reading(request_id=opened.request_id, rank=Rank.INCOMPLETE, seq=9, audio_ms=90_000)
    back = reading(request_id=opened.request_id, seq=10, audio_ms=100_000)
    ended = reading(request_id=opened.request_id, rank=Rank.FINAL, seq=12, audio_ms=80_000)
    steps = ((opened, 0, 90), (gone, 1, 90), (opened, 1, 90), (back, 0, 100), (gone, 0, 100), (ended, 2, 80))
    for one, rank, seconds in (*steps, (back, 2, 80), (gone, 2, 80)):
        await writer.merge([one])
        [row] = await rows(database, "select rank, audio_ms from usage_requests")
        assert (row["rank"], row["audio_ms"]) == (rank, seconds * 1000)
        assert await rollups_differ(database) == []


async def test_requests_of_different_days_endpoints_and_keys_roll_up_apart(database: Database) -> None:
    batch = reduce_batch(
        Stamped(one, 0)
        for one in (
            reading(audio_ms=1),
            reading(audio_ms=2, path="/listen/v1"),
            reading(audio_ms=4, started_ms=STARTED_MS + 1000),
            reading(audio_ms=8, path="/transcribe/some/thing", service="prerecorded"),
            reading(audio_ms=16, key_id=PROJECT),
            reading(audio_ms=32, path="/v1/listen/pcm"),
            reading(audio_ms=64, path="/elsewhere"),
        )
    )
    assert (await Writer(database).merge(batch)).merged == 7
    found = await rows(database, "select day, key_id::text, endpoint, audio_ms, requests from usage_daily")
    assert sorted(
        (str(row["day"]), row["key_id"], row["endpoint"], row["audio_ms"], row["requests"]) for row in found
    ) == [
        ("2026-03-31", PROJECT, "/v1/listen", 16, 1),
        ("2026-03-31", KEY, "/transcribe", 8, 1),
        ("2026-03-31", KEY, "/v1/listen", 3, 2),
        ("2026-03-31", KEY, "/v1/listen/pcm", 32, 1),
        ("2026-03-31", KEY, "other", 64, 1),
        ("2026-04-01", KEY, "/v1/listen", 4, 1),
    ]
    assert await rollups_differ(database) == []


def history(rng: random.Random, started_ms: int) -> list[UsageReading]:
    """All that a proxy and the backend ever wrote about one request."""
    first = reading(
        started_ms=started_ms, path=rng.choice(["/v1/listen", "/transcribe"]), key_id=rng.choice([KEY, PROJECT])
    )
    fixed = {"request_id": first.request_id, "started_ms": started_ms, "path": first.path, "key_id": first.key_id}
    written = [first]
    written += [reading(**fixed, seq=seq, audio_ms=seq * 10_000, bytes_in=seq) for seq in range(2, rng.randint(2, 8))]
    last = written[-1]
    if rng.random() < 0.3:
        written.append(reading(**fixed, rank=Rank.INCOMPLETE, seq=last.seq, audio_ms=last.audio_ms, bytes_in=last.seq))
    if rng.random() < 0.7:
        written.append(
            reading(**fixed, rank=Rank.FINAL, seq=last.seq + 1, audio_ms=rng.randint(0, 90_000), bytes_in=99)
        )
    return written


async def test_several_writers_racing_over_one_set_of_requests_leave_rows_rollups_and_truth_equal(
    database: Database,
) -> None:
    rng = random.Random(20260331)
    histories = [history(rng, STARTED_MS + rng.choice([0, 2000])) for _ in range(150)]
    every = [one for written in histories for one in written]

    async def write(seed: int) -> Merged:
        mine = random.Random(seed)
        deliveries = every + mine.sample(every, len(every) // 3)
        mine.shuffle(deliveries)
        writer, moved = Writer(database), 0
        while deliveries:
            batch, deliveries = deliveries[:60], deliveries[60:]
            moved += (await writer.merge(reduce_batch(Stamped(one, 0) for one in batch))).merged
        return Merged(moved, 0, 0)

    await asyncio.gather(*(write(seed) for seed in range(WRITERS)))

    truth = {max(written, key=lambda one: one.order) for written in histories}
    found = await rows(database, "select request_id::text, rank, seq, audio_ms from usage_requests")
    assert {(row["request_id"], row["rank"], row["seq"], row["audio_ms"]) for row in found} == {
        (one.request_id, one.rank, one.seq, one.audio_ms) for one in truth
    }
    assert await rollups_differ(database) == []
    [total] = await rows(
        database, "select sum(audio_ms)::bigint as audio, sum(requests)::int as requests from usage_daily"
    )
    assert (total["audio"], total["requests"]) == (sum(one.audio_ms for one in truth), len(histories))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=histories(), rng=st.randoms(use_true_random=False))
async def test_from_the_stream_to_the_rows_any_order_duplication_and_loss_of_checkpoints_is_the_same_bill(
    database: Database, written: list[list[UsageReading]], rng: random.Random
) -> None:
    async with database.connection() as connection:
        await connection.execute("delete from usage_requests; delete from usage_daily")
    deliveries, writer = delivered(written, rng), Writer(database)
    while deliveries:
        # All that the publisher and the worker do to readings, with nothing but the two queues left out.
        size = rng.randint(1, 7)
        kept, unreadable = coalesce(Entry(b"1-0", one.to_json().encode()) for one in deliveries[:size])
        assert not unreadable
        for message in pack(kept.values()):
            good, bad = decode(message.body)
            assert not bad
            await writer.merge(reduce_batch(good))
        deliveries = deliveries[size:]

    found = await rows(database, "select request_id::text, rank, seq, audio_ms from usage_requests")
    assert {(row["request_id"], row["rank"], row["seq"], row["audio_ms"]) for row in found} == {
        (final.request_id, final.rank, final.seq, final.audio_ms) for *_, final in written
    }
    assert await rollups_differ(database) == []
    [total] = await rows(database, "select sum(audio_ms)::bigint as audio_ms from usage_daily")
    assert total["audio_ms"] == sum(final.audio_ms for *_, final in written)


async def test_a_value_that_postgres_refuses_is_the_readings_fault_and_nothing_of_its_batch_is_stored(
    database: Database,
) -> None:
    good, bad = reading(), reading(channels=1 << 40)
    with pytest.raises(BadReadings, match="out of range"):
        await Writer(database).merge(reduce_batch([Stamped(good, 0), Stamped(bad, 0)]))
    assert await rows(database, "select * from usage_requests") == []
    assert await rows(database, "select * from usage_daily") == []


async def test_a_time_past_all_calendars_is_the_readings_fault(database: Database) -> None:
    with pytest.raises(BadReadings, match="year 10000"):
        await Writer(database).merge([reading(started_ms=(1 << 53) - 1)])


async def test_a_missing_table_is_not_the_readings_fault(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("drop table usage_daily cascade")
    with pytest.raises(DatabaseUnavailable):
        await Writer(database).merge([reading()])


async def test_a_read_only_server_fails_the_probe(database: Database, database_url: str) -> None:
    writer = Writer(database)
    await writer.probe()
    pool = await asyncpg.create_pool(
        database_url, min_size=0, max_size=1, server_settings={"default_transaction_read_only": "on"}
    )
    async with pool:
        with pytest.raises(DatabaseUnavailable):
            await Writer(Database(pool)).probe()


async def test_a_partition_made_late_takes_over_what_the_default_one_holds(database: Database) -> None:
    writer = Writer(database)
    old = reading(audio_ms=7)  # March 2026 has no partition in a new database
    await writer.merge([old])
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from usage_requests_default") == 1
        assert await connection.fetchval("select make_usage_partition($1)", date(2026, 3, 9)) is True
        assert await connection.fetchval("select make_usage_partition($1)", date(2026, 3, 31)) is False
        assert await connection.fetchval("select count(*) from usage_requests_default") == 0
        assert await connection.fetchval("select count(*) from usage_requests_202603") == 1
    assert await writer.merge([old]) == Merged(0, 1, 0)
    assert await rollups_differ(database) == []
