"""The usage tables: statements on the connection that they are given; only milliseconds, bytes and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import asyncpg

from aldea.postgres import Connection
from backend.usage.period import DAY_MS, Period, start_of

# A stream that was closed for one of these did not end well: protocol errors and unusable data (RFC 6455 section
# 7.4.1), undecodable audio or a revoked key (1008), a message too big, an STT server that failed (1011). The index
# usage_requests_failed has the same condition.
FAILED: Final = "(status >= 400 or coalesce(close_code, 0) in (1002, 1003, 1007, 1008, 1009, 1011))"

_COLUMNS: Final = """
    request_id::text, started_ms, project_id::text, key_id::text, service, lane, path, endpoint, tags, rank, audio_ms,
    channels, connection_ms, bytes_in, bytes_out, status, close_code, price_id, charge_micros, model, features,
    failovers
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
_GROUPS: Final = {
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What usage is narrowed down to; None: not by this. `endpoints`: any of them.

    `with_any`, `without`: features. `nothing`: to what cannot be here.
    """

    key_id: str | None = None
    tag: str | None = None
    endpoints: tuple[str, ...] | None = None
    service: str | None = None
    failed: bool | None = None
    request_id: str | None = None
    ended: bool = False
    model: str | None = None
    with_any: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    asynchronous: bool = False
    nothing: bool = False

    @property
    def of_requests_only(self) -> bool:
        """Whether they need something that the daily rollups do not hold."""
        given = (self.tag, self.failed, self.request_id, self.model, self.with_any or None, self.without or None)
        return self.asynchronous or any(found is not None for found in given)


class _Conditions:
    """A where clause that is put together from fixed texts, and its arguments."""

    def __init__(self, project_id: str) -> None:
        self.arguments: list[Any] = []
        self.texts: list[str] = []
        self.add("project_id = {}", project_id)

    def add(self, text: str, *values: Any) -> None:
        places = []
        for value in values:
            self.arguments.append(value)
            places.append(f"${len(self.arguments)}")
        self.texts.append(text.format(*places))

    def filter(self, filters: Filters) -> None:
        if filters.key_id is not None:
            self.add("key_id = {}", filters.key_id)
        if filters.endpoints is not None:
            self.add("endpoint = any({})", list(filters.endpoints))
        if filters.service is not None:
            self.add("service = {}", filters.service)
        if filters.tag is not None:
            # The index on tags leaves out requests without any; said again, so that the planner sees that it fits.
            self.add("tags @> array[{}::text] and tags <> '{{}}'", filters.tag)
        if filters.failed is not None:
            self.add(FAILED if filters.failed else f"rank = 2 and not {FAILED}")
        if filters.model is not None:
            self.add("model = {}", filters.model)
        if filters.with_any:
            self.add("features && {}::text[]", list(filters.with_any))
        if filters.without:
            self.add("not features && {}::text[]", list(filters.without))
        if filters.asynchronous:
            self.add("features @> array['callback']")
        if filters.nothing:
            self.add("false")
        if filters.ended:
            self.add("rank > 0")
        if filters.request_id is not None:
            self.add("request_id = {}", filters.request_id)

    def within(self, period: Period) -> None:
        # `day` follows from `started_ms`; it is what partitions are chosen by.
        self.add("day between {} and {}", period.first_day, period.last_day)
        self.add("started_ms >= {} and started_ms < {}", period.start_ms, period.end_ms)

    def __str__(self) -> str:
        return " and ".join(self.texts)


async def newest(
    connection: Connection,
    project_id: str,
    period: Period,
    filters: Filters,
    *,
    limit: int,
    skip: int = 0,
    behind: tuple[int, str] | None = None,
) -> list[asyncpg.Record]:
    """Requests of a period, newest first; `behind`: after this one (its started_ms and id)."""
    return await connection.fetch(*newest_query(project_id, period, filters, limit=limit, skip=skip, behind=behind))


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
    where = _Conditions(project_id)
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
    where = _Conditions(project_id)
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
) -> list[asyncpg.Record]:
    """Requests of a period, oldest first; `behind`: after this one (its started_ms and id)."""
    return await connection.fetch(*oldest_query(project_id, period, filters, limit=limit, behind=behind))


async def one(connection: Connection, project_id: str, request_id: str) -> asyncpg.Record | None:
    """One request of a project."""
    return await connection.fetchrow(*one_query(project_id, request_id))


def one_query(project_id: str, request_id: str) -> tuple[Any, ...]:
    """The statement of `one` and its arguments."""
    query = f"select {_COLUMNS} from usage_requests where project_id = $1 and request_id = $2"  # noqa: S608 - a constant
    return (query, project_id, request_id)


async def sums(
    connection: Connection,
    project_id: str,
    period: Period,
    filters: Filters,
    groups: Sequence[str] = (),
    *,
    limit: int | None = None,
) -> list[asyncpg.Record]:
    """Usage summed up by `groups` (the names of _GROUPS), in their order; one row without any.

    The period is one of whole days. From the rollups where they hold enough, otherwise from the requests.
    """
    return await connection.fetch(*sums_query(project_id, period, filters, groups, limit=limit))


def sums_query(
    project_id: str, period: Period, filters: Filters, groups: Sequence[str] = (), *, limit: int | None = None
) -> tuple[Any, ...]:
    """The statement of `sums` and its arguments."""
    where = _Conditions(project_id)
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
    selected = "".join(_GROUPS[group] + ", " for group in groups)
    places = ", ".join(str(n + 1) for n in range(len(groups)))
    ordered = f"group by {places} order by {places}" if groups else ""
    where.arguments.append(limit)
    query = f"""
        select {selected} {_SUMS.format(requests=counted)} from {table} where {where}
        {ordered} limit ${len(where.arguments)}
    """  # noqa: S608 - put together from fixed texts; values are arguments
    return (query, *where.arguments)


async def both_sums_of_day(connection: Connection, project_id: str, day: date) -> asyncpg.Record:
    """A day's rollups beside the sums of its requests, as of one moment."""
    row = await connection.fetchrow(*both_sums_query(project_id, day))
    assert row is not None
    return row


def both_sums_query(project_id: str, day: date) -> tuple[Any, ...]:
    """The statement of `both_sums_of_day` and its arguments."""
    start_ms = start_of(day)
    query = """
        select * from (
            select coalesce(sum(requests), 0)::bigint as requests, coalesce(sum(audio_ms), 0)::bigint as audio_ms,
                coalesce(sum(charge_micros), 0)::bigint as charge_micros
            from usage_daily where project_id = $1 and day = $2
        ) as rolled, (
            select count(*) as from_requests, coalesce(sum(audio_ms), 0)::bigint as audio_ms_from_requests,
                coalesce(sum(charge_micros), 0)::bigint as charge_micros_from_requests
            from usage_requests where project_id = $1 and day = $2 and started_ms >= $3 and started_ms < $4
        ) as counted
    """
    return (query, project_id, day, start_ms, start_ms + DAY_MS)


@dataclass(frozen=True, slots=True)
class Balance:
    """All that an account was credited with and charged, in micro-dollars, all its billed audio, its newest credit."""

    credit_micros: int
    spent_micros: int
    audio_ms: int
    newest_credit: str | None

    @property
    def amount_micros(self) -> int:
        """What is left; below zero it is owed."""
        return self.credit_micros - self.spent_micros


async def balance(connection: Connection, project_id: str) -> Balance:
    """The balance of a project's billing account, as of one moment."""
    row = await connection.fetchrow(
        """
        with paying as (select account_id from projects where project_id = $1)
        select (select coalesce(sum(amount_micros), 0)::bigint from ledger_entries join paying using (account_id)),
            (select coalesce(sum(spent_micros), 0)::bigint from account_spend join paying using (account_id)),
            (
                select coalesce(sum(audio_ms), 0)::bigint from usage_daily
                where project_id in (select project_id from projects join paying using (account_id))
            ),
            (
                select entry_id::text from ledger_entries join paying using (account_id)
                where kind <> 'expiry' order by created desc, entry_id desc limit 1
            )
        """,
        project_id,
    )
    assert row is not None
    return Balance(*row)


async def names_used(connection: Connection, project_id: str, period: Period, limit: int) -> dict[str, list[str]]:
    """The tags, features, key ids and services of a period's requests, in order, at most `limit` of each."""
    row = await connection.fetchrow(*names_query(project_id, period, limit))
    assert row is not None
    return dict(row)


def names_query(project_id: str, period: Period, limit: int) -> tuple[Any, ...]:
    """The statement of `names_used` and its arguments."""
    requests = (
        "from usage_requests where project_id = $1 and day between $2 and $3 and started_ms >= $4 and started_ms < $5"
    )
    days = "from usage_daily where project_id = $1 and day between $2 and $3"
    query = f"""
        select
            array(select distinct unnest(tags) {requests} and tags <> '{{}}' order by 1 limit $6) as tags,
            array(select distinct unnest(features) {requests} order by 1 limit $6) as features,
            array(select distinct key_id::text {days} order by 1 limit $6) as keys,
            array(select distinct service {days} order by 1 limit $6) as services
    """
    return (query, project_id, period.first_day, period.last_day, period.start_ms, period.end_ms, limit)
