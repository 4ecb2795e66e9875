"""How PostgreSQL finds usage: by an index, never by reading a whole partition."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import pytest

from aldea.postgres import DATABASE, Database
from backend.pipeline import orphans, rollups
from backend.usage import repository
from backend.usage.filters import FAILED, Filters
from backend.usage.period import DAY_MS, Period, month_from, start_of
from tests.integration.conftest import Api

PROJECTS: Final = 25
PROJECT: Final = "01900000-0000-7000-8000-000000000007"
KEY: Final = "01900000-0000-7000-8000-0000000000a1"
TODAY: Final = date(2026, 3, 31)
DAYS: Final = 90
ROWS: Final = 90_000
# A busy machine takes its time to write them.
FILL_SECONDS: Final = 300.0
PERIODS: Final = {
    "a day": Period(start_of(TODAY), start_of(TODAY) + DAY_MS),
    "30 days": Period(start_of(TODAY) - 29 * DAY_MS, start_of(TODAY) + DAY_MS),
    "90 days": Period(start_of(TODAY) - 89 * DAY_MS, start_of(TODAY) + DAY_MS),
}
HOLD_ROWS: Final = {f"usage_requests_{month_from(TODAY, month):%Y%m}" for month in range(-2, 1)}
FILTERS: Final = {
    "none": Filters(),
    "key": Filters(key_id=KEY),
    "tag": Filters(tag="rare"),
    "common tag": Filters(tag="common"),
    "endpoint": Filters(endpoints=("/transcribe",)),
    "service": Filters(service="prerecorded"),
    "failed": Filters(outcome="failed"),
    "succeeded": Filters(outcome="succeeded"),
    "incomplete": Filters(outcome="incomplete"),
    "audio": Filters(least_ms=1000, most_ms=2000),
    "request": Filters(request_id="01900000-0000-7000-8000-000000000001"),
    "all": Filters(
        key_id=KEY, tag="rare", endpoints=("/v1/listen", "/v1/listen/pcm"), service="streaming", outcome="failed"
    ),
}
GROUPS: Final = ((), ("day",), ("tag",), ("day", "accessor", "endpoint", "tag"))

# Some 25 projects of 8 keys; every request has a tag that half of all have, or one that a hundredth has, or none.
FILL: Final = """
insert into usage_requests (request_id, day, started_ms, project_id, key_id, service, lane, path, tags, rank, seq,
    audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code)
select uuidv7(), to_timestamp(ms / 1000.0)::date, ms,
    ('01900000-0000-7000-8000-' || lpad((n * 7919 % $1)::text, 12, '0'))::uuid,
    ('01900000-0000-7000-8000-0000000000a' || n % 8)::uuid,
    case when n % 10 = 0 then 'prerecorded' else 'streaming' end, 'live1',
    case n % 10 when 0 then '/transcribe' when 1 then '/v1/listen/pcm' else '/v1/listen' end,
    case when n % 100 = 3 then array['rare'] when n % 2 = 0 then array['common'] else '{}' end,
    2, 3, 60000, 'stt', 1, 61000, 1920000, 4000, 101, case when n % 50 = 0 then 1011 else 1000 end
from (select n, $2::bigint + n * $3::bigint / $4 as ms from generate_series(0, $4 - 1) as n) as numbered
"""


@pytest.fixture
async def filled(database: Database) -> Database:
    """Three months of usage of many projects, and the planner's knowledge of it."""
    first = PERIODS["90 days"].start_ms
    async with database.connection() as connection:
        await connection.execute("set statement_timeout = 0")
        for month in range(-2, 1):
            await connection.execute("select make_usage_partition($1)", month_from(TODAY, month))
        await connection.execute(FILL, PROJECTS, first, DAYS * DAY_MS, ROWS, timeout=FILL_SECONDS)
        await connection.execute("vacuum (analyze) usage_requests", timeout=FILL_SECONDS)
        held = await connection.fetch("select distinct tableoid::regclass::text from usage_requests")
        assert {row[0] for row in held} == HOLD_ROWS
    return database


def questions() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Every kind of statement about single requests that the API sends."""
    request_id = "01900000-0000-7000-8000-000000000001"
    yield "a request", (repository.ONE.sql, PROJECT, request_id)
    yield "a day's reconciliation", (repository.BOTH_SUMS.sql, *repository.both_sums_arguments(PROJECT, TODAY))
    for length, period in PERIODS.items():
        behind = (period.start_ms + 7, request_id)
        for name, filters in FILTERS.items():
            what = f"{length}, filter {name}"
            yield f"a page of {what}", repository.newest_query(PROJECT, period, filters, limit=11)
            yield f"a large page of {what}", repository.newest_query(PROJECT, period, filters, limit=1001, skip=9000)
            yield f"a next page of {what}", repository.newest_query(PROJECT, period, filters, limit=11, behind=behind)
            yield f"an export of {what}", repository.oldest_query(PROJECT, period, filters, limit=2000)
            yield f"more of {what}", repository.oldest_query(PROJECT, period, filters, limit=2000, behind=behind)
            for groups in GROUPS:
                yield f"sums by {groups} of {what}", repository.sums_query(PROJECT, period, filters, groups)


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The partitions with rows that a plan reads from their first block to their last. (Empty ones have no block.)"""
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in HOLD_ROWS:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


async def plans(connection: Any, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """What is done for these arguments, and what a prepared statement may do for any."""
    texts = [
        await connection.fetchval(f"explain (format json) {query}", *arguments),
        await connection.fetchval(f"explain (format json, generic_plan) {query}", *arguments),
    ]
    return [json.loads(text)[0]["Plan"] for text in texts]


async def test_no_question_about_usage_reads_a_partition_whole(filled: Database) -> None:
    queries = 0
    async with filled.connection() as connection:
        for name, (query, *arguments) in questions():
            for plan in await plans(connection, query, *arguments):
                assert list(scanned(plan)) == [], f"{name}: {json.dumps(plan, indent=1)}"
                queries += 1
    assert queries > 500


async def test_the_index_of_failures_means_by_failed_what_the_filter_means(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            f"create index again on usage_requests (project_id, started_ms, request_id) where {FAILED}"
        )
        found = await connection.fetch(
            "select pg_get_expr(indpred, indrelid) from pg_index"
            " where indexrelid in ('again'::regclass, 'usage_requests_failed'::regclass)"
        )
    assert len(found) == 2
    assert found[0] == found[1]


async def test_what_runs_in_the_background_reads_no_partition_whole_either(filled: Database) -> None:
    async with filled.connection() as connection:
        for query, arguments in (
            (orphans.FORGOTTEN.sql, (60.0, orphans.MAX_ORPHANS)),
            (rollups.DIFFERENCES.sql, (TODAY,)),
        ):
            for plan in await plans(connection, query, *arguments):
                assert list(scanned(plan)) == [], json.dumps(plan, indent=1)


async def test_the_api_has_each_question_planned_for_its_own_period(api: Api) -> None:
    async with api.client.app[DATABASE].connection() as connection:
        assert await connection.fetchval("show plan_cache_mode") == "force_custom_plan"
        assert await connection.fetchval("show statement_timeout") == "10s"
