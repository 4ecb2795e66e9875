"""Readings into PostgreSQL: a reduced, sorted batch and its rollups in one transaction, exact when repeated."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

import asyncpg

from aldea.postgres import Connection, Database, unavailable
from aldea.tracing.context import trace_id_of
from aldea.usage.reading import UsageReading

# A batch that meets a deadlock or a serialization failure is repeated, after 10, 20, 40 … ms and some jitter.
ATTEMPTS: Final = 6
FIRST_PAUSE_SECONDS: Final = 0.01

# A proxy's clock that is further ahead than this is wrong, and what it measured belongs into no bill yet.
MAX_DAYS_AHEAD: Final = 366

# One statement, so one round trip: rows are upserted in the order given (request id), then the rollups in the order of
# their key; all writers lock in these orders. A rollup's difference is what the upsert itself returns: `old` is the row
# version that this very statement replaced, which no snapshot read beside it can promise.
#
# A request is charged at the price that was in force when it began, that of its model before that of any. The first
# reading that is merged freezes which one that is; later ones change the charge at that price. A project that nobody
# knows (usage outlives projects, and may come before them after a restore) pays as a new one does.
MERGE: Final = f"""
with period as materialized (
    select price_id, plan, service, model, micros_per_hour, effective_from,
        lead(effective_from, 1, 'infinity') over (partition by plan, service, model order by effective_from) as ends
    from prices
), merged as (
    insert into usage_requests as stored (
        request_id, day, started_ms, project_id, key_id, service, lane, path, tags,
        rank, seq, audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code,
        price_id, charge_micros, model, features, failovers, first_word_ms, trace_id)
    select request_id, day, started_ms, project_id, key_id, reading.service, lane, path, tags::text[],
        rank, seq, audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code,
        coalesce(own.price_id, usual.price_id),
        charge_micros(audio_ms, coalesce(own.micros_per_hour, usual.micros_per_hour)),
        reading.model, features::text[], failovers, first_word_ms, trace_id
    from unnest($1::text::uuid[], $2::text::date[], $3::text::bigint[], $4::text::uuid[], $5::text::uuid[],
        $6::text::text[], $7::text::text[], $8::text::text[], $9::text::text[], $10::text::smallint[],
        $11::text::bigint[], $12::text::bigint[], $13::text::text[], $14::text::bigint[], $15::text::bigint[],
        $16::text::bigint[], $17::text::bigint[], $18::text::bigint[], $19::text::bigint[], $20::text::text[],
        $21::text::text[], $22::text::bigint[], $23::text::bigint[], $24::text::text[])
        as reading (request_id, day, started_ms, project_id, key_id, service, lane, path, tags,
        rank, seq, audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code,
        model, features, failovers, first_word_ms, trace_id)
    left join billed_projects as billed using (project_id)
    left join period as usual on usual.plan = coalesce(billed.plan, 'free') and usual.service = reading.service
        and usual.model is null and to_timestamp(started_ms / 1000.0) >= usual.effective_from
        and to_timestamp(started_ms / 1000.0) < usual.ends
    left join period as own on own.plan = coalesce(billed.plan, 'free') and own.service = reading.service
        and own.model = reading.model and to_timestamp(started_ms / 1000.0) >= own.effective_from
        and to_timestamp(started_ms / 1000.0) < own.ends
    -- The table is locked before this is read, and drop_usage_before locks it before it moves the day on: a request
    -- that was dropped while this statement waited is not counted again.
    where day >= coalesce((select since from usage_kept), '-infinity')
        and day <= (now() at time zone 'utc')::date + {MAX_DAYS_AHEAD}
    order by request_id
    on conflict (request_id, day) do update set
        rank = excluded.rank, seq = excluded.seq, audio_ms = excluded.audio_ms, audio_source = excluded.audio_source,
        channels = excluded.channels, connection_ms = excluded.connection_ms, bytes_in = excluded.bytes_in,
        bytes_out = excluded.bytes_out, status = excluded.status, close_code = excluded.close_code,
        failovers = excluded.failovers, first_word_ms = excluded.first_word_ms, updated = now(),
        price_id = coalesce(stored.price_id, excluded.price_id),
        charge_micros = case when coalesce(stored.price_id, excluded.price_id) = excluded.price_id
            then excluded.charge_micros
            else charge_micros(excluded.audio_ms, (
                select micros_per_hour from prices where prices.price_id = stored.price_id)) end
    -- UsageReading.order
    where (excluded.rank = 2, excluded.seq, excluded.rank) > (stored.rank = 2, stored.seq, stored.rank)
    returning new.project_id, new.day, new.key_id, new.service, new.endpoint,
        (old.request_id is null)::int as requests,
        new.audio_ms - coalesce(old.audio_ms, 0) as audio_ms,
        new.connection_ms - coalesce(old.connection_ms, 0) as connection_ms,
        new.bytes_in - coalesce(old.bytes_in, 0) as bytes_in,
        new.bytes_out - coalesce(old.bytes_out, 0) as bytes_out,
        new.charge_micros - coalesce(old.charge_micros, 0) as charge_micros
), rolled as (
    insert into usage_daily as daily (
        project_id, day, key_id, service, endpoint, requests, audio_ms, connection_ms, bytes_in, bytes_out,
        charge_micros)
    select project_id, day, key_id, service, endpoint,
        sum(requests), sum(audio_ms), sum(connection_ms), sum(bytes_in), sum(bytes_out), sum(charge_micros)
    from merged
    group by project_id, day, key_id, service, endpoint
    order by project_id, day, key_id, service, endpoint
    on conflict (project_id, day, key_id, service, endpoint) do update set
        requests = daily.requests + excluded.requests,
        audio_ms = daily.audio_ms + excluded.audio_ms,
        connection_ms = daily.connection_ms + excluded.connection_ms,
        bytes_in = daily.bytes_in + excluded.bytes_in,
        bytes_out = daily.bytes_out + excluded.bytes_out,
        charge_micros = daily.charge_micros + excluded.charge_micros
), spent as (
    insert into account_spend as spend (account_id, spent_micros)
    select account_id, sum(charge_micros)
    from (select project_id, sum(charge_micros) as charge_micros from merged group by project_id) as charged
    join billed_projects using (project_id)
    group by account_id having sum(charge_micros) <> 0 order by account_id
    on conflict (account_id) do update set spent_micros = spend.spent_micros + excluded.spent_micros
), noted as (
    -- Of these the backend looks whether a threshold is crossed (backend/alerts/thresholds.py).
    insert into alert_moves (project_id)
    select distinct project_id from merged where audio_ms <> 0 or charge_micros <> 0
)
select count(*) from merged
"""  # noqa: S608 - a constant

# The first and the last day of which MERGE takes readings.
BOUNDS: Final = f"""
select coalesce((select since from usage_kept), '-infinity') as since,
    (now() at time zone 'utc')::date + {MAX_DAYS_AHEAD} as last
"""  # noqa: S608 - a constant

# Of the readings of a batch, how many are in their rows now: what was not merged but is stored was a duplicate.
STANDING: Final = """
select count(*)
from unnest($1::text::uuid[], $2::text::date[], $3::text::smallint[], $4::text::bigint[])
    as reading (request_id, day, rank, seq)
join usage_requests using (request_id, day, rank, seq)
"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a batch's readings: they moved their rows, were stored already, or were outdated."""

    merged: int
    duplicate: int
    stale: int


class BadReadings(Exception):
    """PostgreSQL refuses a value of this batch (SQLSTATE class 22 or 23); the reading is at fault, not the server."""


class OutOfBounds(BadReadings):
    """Some readings of this batch are of days that take none: dropped since, or far ahead. The rest is fine.

    `reasons`: why, by request id. Said by the database, not by this release: these count for no fault of ours.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(list(reasons.values())[:1]))
        self.reasons = reasons


class Writer:
    """Merges batches. Raises BadReadings (OutOfBounds), or DatabaseUnavailable; then nothing of the batch is stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def probe(self) -> None:
        """Raise DatabaseUnavailable unless a batch could be written now."""
        async with self._database.connection() as connection:
            if await connection.fetchval(
                "select pg_is_in_recovery() or current_setting('transaction_read_only')::bool"
            ):
                # A replica, or a primary that was just demoted: it responds and cannot write.
                raise unavailable(asyncpg.ReadOnlySQLTransactionError("the server is read-only"))

    async def merge(self, readings: Sequence[UsageReading]) -> Merged:
        """Write one reduced, sorted batch (see `merge.reduce_batch`) in one transaction."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._database.transaction() as connection:
                    return await merge_batch(connection, readings)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
                if attempt == ATTEMPTS:
                    raise unavailable(error) from error
            except asyncpg.PostgresError as error:
                if error.sqlstate is not None and error.sqlstate.startswith(("22", "23")):
                    raise BadReadings(f"{type(error).__name__}: {error}") from error
                # Anything else (no such table, no permission, disk full) says nothing about the readings.
                raise unavailable(error) from error
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))


async def merge_batch(connection: Connection, readings: Sequence[UsageReading]) -> Merged:
    """Upsert a reduced, sorted batch and its rollups on a connection that is inside a transaction."""
    if not readings:
        return Merged(0, 0, 0)
    values = columns(readings)
    merged: int = await connection.fetchval(MERGE, *values)
    if merged == len(readings):
        return Merged(merged, 0, 0)
    await _check_bounds(connection, readings)
    ids, days, ranks, seqs = (values[column] for column in _STANDING_COLUMNS)
    standing: int = await connection.fetchval(STANDING, ids, days, ranks, seqs)
    return Merged(merged, standing - merged, len(readings) - standing)


async def _check_bounds(connection: Connection, readings: Sequence[UsageReading]) -> None:
    """Raise OutOfBounds for readings that MERGE passed over; their transaction must not commit with the rest."""
    bounds = await connection.fetchrow(BOUNDS)
    assert bounds is not None
    since, last = bounds["since"], bounds["last"]
    reasons: dict[str, str] = {}
    for reading in readings:
        day = utc_day(reading.started_ms)
        if day < since:
            reasons[reading.request_id] = (
                f"started_ms: got {reading.started_ms} ({day}), but single requests are kept since {since} only: "
                "it may have been counted before its month was dropped"
            )
        elif day > last:
            reasons[reading.request_id] = (
                f"started_ms: got {reading.started_ms} ({day}), allowed: until {last}; the proxy's clock was wrong"
            )
    if reasons:
        raise OutOfBounds(reasons)


def columns(readings: Sequence[UsageReading]) -> tuple[str, ...]:
    """What MERGE takes: an array literal for each of its parameters.

    As text, since asyncpg looks at each element of an array several times: that took a third of the worker's time.
    """

    def numbers(values: Iterable[object]) -> str:
        return "{" + ",".join(map(str, values)) + "}"

    def or_null(values: Iterable[int | None]) -> str:
        return numbers("null" if value is None else value for value in values)

    return (
        numbers(reading.request_id for reading in readings),
        numbers(utc_day(reading.started_ms) for reading in readings),
        numbers(reading.started_ms for reading in readings),
        numbers(reading.project_id for reading in readings),
        numbers(reading.key_id for reading in readings),
        numbers(reading.service for reading in readings),
        array_text(reading.lane for reading in readings),
        array_text(reading.path for reading in readings),
        _arrays_text(reading.tags for reading in readings),
        numbers(int(reading.rank) for reading in readings),
        numbers(reading.seq for reading in readings),
        numbers(reading.audio_ms for reading in readings),
        numbers(reading.audio_source for reading in readings),
        numbers(reading.channels for reading in readings),
        numbers(reading.connection_ms for reading in readings),
        numbers(reading.bytes_in for reading in readings),
        numbers(reading.bytes_out for reading in readings),
        numbers(reading.status for reading in readings),
        or_null(reading.close_code for reading in readings),
        array_text(reading.model for reading in readings),
        _arrays_text(reading.features for reading in readings),
        numbers(reading.failovers for reading in readings),
        or_null(reading.first_word_ms for reading in readings),
        numbers(trace_id_of(reading.traceparent) or "null" for reading in readings),
    )


# Of those: request_id, day, rank, seq.
_STANDING_COLUMNS: Final = (0, 1, 9, 10)


def utc_day(started_ms: int) -> date:
    """The UTC day of a Unix time in milliseconds. Raises BadReadings for a time past the year 9999."""
    day = started_ms // 86_400_000
    known = _days.get(day)
    if known is None:
        try:
            known = datetime.fromtimestamp(day * 86_400, UTC).date()
        except (ValueError, OverflowError, OSError):
            raise BadReadings(f"started_ms: got {started_ms}, allowed: Unix ms before the year 10000") from None
        if len(_days) >= _MAX_DAYS:
            _days.clear()
        _days[day] = known
    return known


_days: Final[dict[int, date]] = {}
_MAX_DAYS: Final = 1000


def array_text(texts: Iterable[str]) -> str:
    """A PostgreSQL text[] literal (https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO)."""
    return "{" + ",".join(map(_quoted, texts)) + "}"


# Of what repeats from reading to reading: lanes, paths, models, and requests' tags and features.
@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=4096)
def _quoted_array(texts: tuple[str, ...]) -> str:
    return _quoted(array_text(texts))


def _arrays_text(arrays: Iterable[tuple[str, ...]]) -> str:
    return "{" + ",".join(map(_quoted_array, arrays)) + "}"
