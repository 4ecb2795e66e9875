"""The usage tables: statements on the connection that they are given; only milliseconds, bytes and counts."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from aldea.postgres import Connection
from aldea.rows import Query
from aldea.turns import in_turns
from backend.usage.filters import Conditions, Filters
from backend.usage.period import DAY_MS, Period, start_of
from backend.usage.rows import Balance, BothSums, GroupRow, NamesUsed, RequestRow

_COLUMNS: Final = """
    request_id::text, started_ms, project_id::text, key_id::text, service, lane, path, endpoint, tags, rank, audio_ms,
    channels, connection_ms, bytes_in, bytes_out, status, close_code, price_id, charge_micros, model, features,
    failovers, first_word_ms
"""
_SUMS: Final = """
    {requests}::bigint as requests, coalesce(sum(audio_ms), 0)::bigint as audio_ms,
    coalesce(sum(connection_ms), 0)::bigint as connection_ms,
    coalesce(sum(bytes_in), 0)::bigint as bytes_in, coalesce(sum(bytes_out), 0)::bigint as bytes_out,
    coalesce(sum(charge_micros), 0)::bigint as charge_micros
"""
# The public API's word for how a request got its response. `callback` is a feature like any.
METHOD: Final = """
    case when service = 'streaming' then service when 'callback' = any(features) then 'async' else 'sync' end as method
"""
GROUPS: Final = {
    "day": "day",
    "accessor": "key_id::text as accessor",
    "endpoint": "endpoint",
    "service": "service",
    "tag": "tag",
    "models": "model",
    "feature_set": "features",
    "method": METHOD,
}
# What only the single requests hold.
_OF_REQUESTS: Final = frozenset({"tag", "models", "feature_set", "method"})

ONE: Final = Query(
    RequestRow,
    f"select {_COLUMNS} from usage_requests where project_id = $1 and request_id = $2",  # noqa: S608 - a constant
)
BOTH_SUMS: Final = Query(
    BothSums,
    """
    select * from (
        select coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(audio_ms), 0)::bigint as audio_ms,
            coalesce(sum(charge_micros), 0)::bigint as charge_micros
        from usage_daily where project_id = $1 and day = $2
    ) as rolled, (
        select count(*) as from_requests, coalesce(sum(audio_ms), 0)::bigint as audio_ms_from_requests,
            coalesce(sum(charge_micros), 0)::bigint as charge_micros_from_requests
        from usage_requests where project_id = $1 and day = $2 and started_ms >= $3 and started_ms < $4
    ) as counted
    """,
)
_BALANCE: Final = Query(
    Balance,
    """
    with paying as (select account_id from projects where project_id = $1)
    select (select coalesce(sum(amount_micros), 0)::bigint from ledger_entries join paying using (account_id))
            as credit_micros,
        (select coalesce(sum(spent_micros), 0)::bigint from account_spend join paying using (account_id))
            as spent_micros,
        (
            select coalesce(sum(audio_ms), 0)::bigint from usage_daily
            where project_id in (select project_id from projects join paying using (account_id))
        ) as audio_ms,
        (
            select entry_id::text from ledger_entries join paying using (account_id)
            where kind <> 'expiry' order by created desc, entry_id desc limit 1
        ) as newest_credit
    """,
)
_IN_REQUESTS: Final = (
    "from usage_requests where project_id = $1 and day between $2 and $3 and started_ms >= $4 and started_ms < $5"
)
_IN_DAYS: Final = "from usage_daily where project_id = $1 and day between $2 and $3"
_NAMES: Final = Query(
    NamesUsed,
    f"""
    select
        array(select distinct unnest(tags) {_IN_REQUESTS} and tags <> '{{}}' order by 1 limit $6) as tags,
        array(select distinct unnest(features) {_IN_REQUESTS} order by 1 limit $6) as features,
        array(select distinct key_id::text {_IN_DAYS} order by 1 limit $6) as keys,
        array(select distinct service {_IN_DAYS} order by 1 limit $6) as services
    """,
)


async def newest(
    connection: Connection,
    project_id: str,
    period: Period,
    filters: Filters,
    *,
    limit: int,
    skip: int = 0,
    behind: tuple[int, str] | None = None,
) -> list[RequestRow]:
    """Requests of a period, newest first; `behind`: after this one (its started_ms and id)."""
    query, *arguments = newest_query(project_id, period, filters, limit=limit, skip=skip, behind=behind)
    return await Query(RequestRow, query).all(connection, *arguments)


def newest_query(
    project_id: str,
    period: Period,
    filters: Filters,
    *,
    limit: int,
    skip: int = 0,
    behind: tuple[int, str] | None = None,
) -> tuple[Any, ...]:
    """The statement of `newest` and its arguments."""
    where = Conditions(project_id)
    where.within(period)
    where.filter(filters)
    if behind is not None:
        where.add("(started_ms, request_id) < ({}, {}::uuid)", *behind)
    where.arguments += [limit, skip]
    count = len(where.arguments)
    query = f"""
        select {_COLUMNS} from usage_requests where {where}
        order by usage_requests.started_ms desc, usage_requests.request_id desc limit ${count - 1} offset ${count}
    """  # noqa: S608 - put together from fixed texts; values are arguments
    return (query, *where.arguments)


def oldest_query(
    project_id: str, period: Period, filters: Filters, *, limit: int, behind: tuple[int, str] | None = None
) -> tuple[Any, ...]:
    """The statement that finds requests of a period, oldest first; `behind`: after this one."""
    where = Conditions(project_id)
    where.within(period)
    where.filter(filters)
    if behind is not None:
        where.add("(started_ms, request_id) > ({}, {}::uuid)", *behind)
    where.arguments.append(limit)
    query = f"""
        select {_COLUMNS} from usage_requests where {where}
        order by usage_requests.started_ms, usage_requests.request_id limit ${len(where.arguments)}
    """  # noqa: S608 - put together from fixed texts; values are arguments
    return (query, *where.arguments)


async def oldest(
    connection: Connection,
    project_id: str,
    period: Period,
    filters: Filters,
    *,
    limit: int,
    behind: tuple[int, str] | None = None,
) -> list[RequestRow]:
    """Requests of a period, oldest first; `behind`: after this one (its started_ms and id)."""
    query, *arguments = oldest_query(project_id, period, filters, limit=limit, behind=behind)
    return await Query(RequestRow, query).all(connection, *arguments)


async def one(connection: Connection, project_id: str, request_id: str) -> RequestRow | None:
    """One request of a project."""
    return await ONE.first(connection, project_id, request_id)


async def sums(
    connection: Connection,
    project_id: str,
    period: Period,
    filters: Filters,
    groups: Sequence[str] = (),
    *,
    limit: int | None = None,
) -> list[GroupRow]:
    """Usage summed up by `groups` (the names of GROUPS), in their order; one row without any.

    The period is one of whole days. From the rollups where they hold enough, otherwise from the requests.
    """
    rows = await connection.fetch(*sums_query(project_id, period, filters, groups, limit=limit))
    return [GroupRow(**row) async for row in in_turns(rows)]


def sums_query(
    project_id: str, period: Period, filters: Filters, groups: Sequence[str] = (), *, limit: int | None = None
) -> tuple[Any, ...]:
    """The statement of `sums` and its arguments."""
    where = Conditions(project_id)
    if filters.of_requests_only or not _OF_REQUESTS.isdisjoint(groups):
        where.within(period)
        table, counted = "usage_requests", "count(*)"
    else:
        where.add("day between {} and {}", period.first_day, period.last_day)
        table, counted = "usage_daily", "coalesce(sum(requests), 0)"
    where.filter(filters)
    if "tag" in groups:
        # A request may carry a tag twice and counts once; without tags it counts under none.
        table += " left join lateral (select distinct unnest(tags) as tag) as tagged on true"
    selected = "".join(GROUPS[group] + ", " for group in groups)
    places = ", ".join(str(n + 1) for n in range(len(groups)))
    ordered = f"group by {places} order by {places}" if groups else ""
    where.arguments.append(limit)
    query = f"""
        select {selected} {_SUMS.format(requests=counted)} from {table} where {where}
        {ordered} limit ${len(where.arguments)}
    """  # noqa: S608 - put together from fixed texts; values are arguments
    return (query, *where.arguments)


async def both_sums_of_day(connection: Connection, project_id: str, day: date) -> BothSums:
    """A day's rollups beside the sums of its requests, as of one moment."""
    return await BOTH_SUMS.one(connection, *both_sums_arguments(project_id, day))


def both_sums_arguments(project_id: str, day: date) -> tuple[str, date, int, int]:
    """The arguments of BOTH_SUMS."""
    start_ms = start_of(day)
    return (project_id, day, start_ms, start_ms + DAY_MS)


async def balance(connection: Connection, project_id: str) -> Balance:
    """The balance of a project's billing account, as of one moment."""
    return await _BALANCE.one(connection, project_id)


async def names_used(connection: Connection, project_id: str, period: Period, limit: int) -> NamesUsed:
    """The tags, features, key ids and services of a period's requests, in order, at most `limit` of each."""
    return await _NAMES.one(
        connection, project_id, period.first_day, period.last_day, period.start_ms, period.end_ms, limit
    )
