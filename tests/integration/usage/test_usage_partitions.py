"""Partitions of usage_requests on a real PostgreSQL: made ahead, dropped when old, from many tasks at once."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from aldea.postgres import Database, open_database
from aldea.tasks import spawn
from aldea.usage.reading import UsageReading
from backend.pipeline.rollups import RequestsGone, reconcile
from backend.schema.roles import BACKEND
from backend.usage.partitions import MONTHS_AHEAD, Partitions
from backend.usage.period import day_of, month_from, start_of
from sqs_updater.writer import MAX_DAYS_AHEAD, OutOfBounds, Writer
from tests.integration.conftest import acting_as, settings_for
from tests.readings import reading

TODAY = day_of(reading().started_ms)
RETENTION = 2


def of(day: date) -> UsageReading:
    return reading(started_ms=start_of(day), audio_ms=7)


async def months(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select relname from pg_class join pg_inherits on inhrelid = pg_class.oid"
            " where inhparent = 'usage_requests'::regclass and relname ~ '[0-9]$' order by 1"
        )
    return [row[0].removeprefix("usage_requests_") for row in rows]


def names(*offsets: int) -> list[str]:
    return [month_from(TODAY, offset).strftime("%Y%m") for offset in offsets]


async def only_the_default(database: Database) -> None:
    async with database.connection() as connection:
        for name in await months(database):
            await connection.execute(f"drop table usage_requests_{name}")


async def test_this_month_and_those_to_come_are_made_ahead(database: Database) -> None:
    await only_the_default(database)
    await Partitions(database, retention_months=RETENTION).sweep(TODAY)
    assert await months(database) == names(*range(MONTHS_AHEAD + 1))
    next_month = month_from(TODAY, 1)
    await Partitions(database, retention_months=RETENTION).sweep(next_month)
    assert await months(database) == names(*range(MONTHS_AHEAD + 2))


async def test_readings_that_came_before_their_partition_are_moved_into_one(database: Database) -> None:
    await only_the_default(database)
    far = month_from(TODAY, MONTHS_AHEAD + 5)
    await Writer(database).merge(
        sorted((of(TODAY), of(month_from(TODAY, -1)), of(far)), key=lambda one: one.request_id)
    )
    await Partitions(database, retention_months=RETENTION).sweep(TODAY)
    assert await months(database) == names(-1, *range(MONTHS_AHEAD + 1))
    async with database.connection() as connection:
        # A clock that is wrong by months gets no partition; its reading is kept, and counted in the metric.
        assert await connection.fetchval("select array_agg(day) from usage_requests_default") == [far]
        assert await connection.fetchval("select count(*) from usage_requests") == 3


async def test_what_is_kept_no_more_is_dropped_and_its_totals_stay(database: Database) -> None:
    partitions = Partitions(database, retention_months=RETENTION)
    kept, old, older = (month_from(TODAY, -RETENTION - n) for n in range(3))
    await only_the_default(database)
    async with database.connection() as connection:
        await connection.execute("select make_usage_partition($1)", old)
    some = [of(kept), of(old), of(older)]
    await Writer(database).merge(sorted(some, key=lambda one: one.request_id))
    await partitions.sweep(TODAY)
    assert await months(database) == names(-RETENTION, *range(MONTHS_AHEAD + 1))
    async with database.connection() as connection:
        assert await connection.fetchval("select array_agg(day) from usage_requests") == [kept]
        assert await connection.fetchval("select sum(audio_ms)::bigint from usage_daily") == 21
    # To recompute the totals of a dropped day would set them to nothing.
    with pytest.raises(RequestsGone):
        await reconcile(database, old)
    assert await reconcile(database, kept) == []


async def totals(database: Database) -> tuple[int, int]:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "select coalesce(sum(requests), 0)::bigint, coalesce(sum(audio_ms), 0)::bigint from usage_daily"
        )
    return tuple(row) if row else (0, 0)


async def test_a_reading_of_a_month_that_was_dropped_is_not_billed_again(database: Database) -> None:
    old, kept = month_from(TODAY, -RETENTION - 1), month_from(TODAY, -RETENTION)
    late = reading(started_ms=start_of(kept) - 1, audio_ms=60_000)
    await Writer(database).merge([late])
    await Partitions(database, retention_months=RETENTION).sweep(TODAY)
    assert await totals(database) == (1, 60_000)
    first = of(kept)
    for again in (late, replace(late, seq=9), reading(started_ms=start_of(old)), reading(started_ms=0)):
        with pytest.raises(OutOfBounds, match=f"since {kept}") as refused:
            await Writer(database).merge(sorted((again, first), key=lambda one: one.request_id))
        assert list(refused.value.reasons) == [again.request_id]
    assert await totals(database) == (1, 60_000)
    await Writer(database).merge([first])
    assert await totals(database) == (2, 60_007)


async def test_a_reading_that_waits_while_its_month_is_dropped_is_not_billed_again(database: Database) -> None:
    old = of(month_from(TODAY, -RETENTION - 1))
    await Writer(database).merge([old])
    kept = month_from(TODAY, -RETENTION)
    async with database.transaction() as dropping:
        await dropping.execute("select drop_usage_before($1)", kept)
        merging = spawn(Writer(database).merge([old]), name="late reading")
        async with database.connection() as watching:
            while not await watching.fetchval(
                "select true from pg_locks where not granted and mode = 'RowExclusiveLock'"
            ):
                await asyncio.sleep(0.01)
    with pytest.raises(OutOfBounds):
        await merging
    assert await totals(database) == (1, 7)


async def test_since_when_requests_are_kept_never_moves_back(database: Database) -> None:
    async with database.connection() as connection:
        for months_back in (2, 4, 1, 3):
            await connection.execute("select drop_usage_before($1)", month_from(TODAY, -months_back))
        assert await connection.fetchval("select since from usage_kept") == month_from(TODAY, -1)
        # Without that row every month counts as kept.
        await connection.execute("delete from usage_kept")
    await Writer(database).merge([of(month_from(TODAY, -5))])


async def test_a_reading_of_a_clock_that_is_years_ahead_is_refused_and_one_of_tomorrow_is_not(
    database: Database,
) -> None:
    today = datetime.now(UTC).date()
    await Writer(database).merge([of(today + timedelta(days=MAX_DAYS_AHEAD - 1))])
    for day in (today + timedelta(days=MAX_DAYS_AHEAD + 2), date(9999, 12, 31)):
        with pytest.raises(OutOfBounds, match="clock was wrong"):
            await Writer(database).merge([of(day)])
    assert await totals(database) == (1, 7)


async def test_the_present_month_is_never_dropped(database: Database) -> None:
    async with database.connection() as connection:
        before = await months(database)
        for first_kept in ("(now() at time zone 'utc')::date + 31", "null"):
            with pytest.raises(asyncpg.InvalidParameterValueError, match="always kept"):
                await connection.execute(f"select drop_usage_before({first_kept})")
    assert await months(database) == before


async def test_many_tasks_at_once_beside_writers_lose_nothing_and_fail_not(
    database: Database, database_url: str
) -> None:
    await only_the_default(database)
    days = [month_from(TODAY, offset) for offset in range(-RETENTION - 1, MONTHS_AHEAD + 1)]
    written: list[UsageReading] = []
    writing = True

    async def write() -> None:
        while writing:
            batch = sorted((of(day) for day in days), key=lambda one: one.request_id)
            try:
                await Writer(database).merge(batch)
            except OutOfBounds as error:
                batch = [one for one in batch if one.request_id not in error.reasons]
                assert len(batch) == len(days) - 1
                await Writer(database).merge(batch)
            written.extend(batch)

    async with open_database(settings_for(acting_as(database_url, BACKEND)), "test") as limited:
        writers = asyncio.gather(*(write() for _ in range(3)))
        try:
            sweeps = [Partitions(limited, retention_months=RETENTION).sweep(TODAY) for _ in range(6)]
            await asyncio.gather(*sweeps)
        finally:
            writing = False
            await writers
        await Partitions(limited, retention_months=RETENTION).sweep(TODAY)
    kept = [one for one in written if day_of(one.started_ms) != days[0]]
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from usage_requests") == len(kept)
        assert await connection.fetchval("select count(*) from usage_requests_default") == 0
        assert await connection.fetchval("select sum(requests)::bigint from usage_daily") == len(written)
    assert await months(database) == names(*range(-RETENTION, MONTHS_AHEAD + 1))


async def test_a_table_that_somebody_holds_is_left_alone_instead_of_making_everybody_wait(
    database: Database, database_url: str
) -> None:
    await only_the_default(database)
    async with database.transaction() as reader:
        await reader.execute("select * from usage_requests")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await Partitions(database, retention_months=RETENTION).sweep(TODAY)
    await Partitions(database, retention_months=RETENTION).sweep(TODAY)
    assert await months(database) == names(*range(MONTHS_AHEAD + 1))
