"""The statements' tables, which are only ever added to: statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.credits.models import Kind
from backend.usage.models import Service


@dataclass(frozen=True, slots=True)
class Account:
    """A billing account."""

    account_id: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed month, by its first day, with its balances in micro-dollars."""

    month: date
    opening_micros: int
    closing_micros: int


@dataclass(frozen=True, slots=True)
class Active:
    """A month in which something was used or credited, by its first day."""

    month: date


@dataclass(frozen=True, slots=True)
class Line:
    """What was charged for requests of a day. `model`: an empty text for none."""

    project_id: str
    service: Service
    model: str
    day: date
    requests: int
    audio_ms: int
    charge_micros: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the ledger."""

    credit_id: str
    kind: Kind
    amount_micros: int
    note: str
    created: datetime


_OF_PROJECT: Final = Query(Account, "select account_id::text from projects where project_id = $1 and deleted is null")
_OF_OWNER: Final = Query(Account, "select account_id::text from billing_accounts where owner_id = $1")
_LOCK: Final = Query(Account, "select account_id::text from billing_accounts where account_id = $1 for no key update")
_CLOSED: Final = Query(
    Closed,
    """
    select month, opening_micros, closing_micros from statements
    where account_id = $1 and ($2::date is null or month <= $2) order by month desc limit 1
    """,
)
_ACTIVE: Final = Query(
    Active,
    """
    select distinct date_trunc('month', day)::date as month from usage_daily join projects using (project_id)
    where account_id = $1
    union
    select date_trunc('month', created at time zone 'utc')::date from ledger_entries where account_id = $1
    order by month
    """,
)
# What was used before a day and is in no statement yet. Totals say which days have moved since they were stated; only
# those days' requests are looked at, by model. Days whose requests are not kept any more have totals alone.
_UNSTATED: Final = Query(
    Line,
    """
    with mine as materialized (
        select project_id from projects where account_id = $1
    ), kept as materialized (
        select coalesce((select since from usage_kept), '-infinity')::date as since
    ), rolled as (
        select project_id, day, service, sum(requests)::bigint as requests, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros
        from usage_daily where project_id in (select project_id from mine) and day < $2
        group by project_id, day, service
    ), said as (
        select project_id, day, service, sum(requests)::bigint as requests, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros
        from statement_lines where project_id in (select project_id from mine) and day < $2
        group by project_id, day, service
    ), moved as materialized (
        select project_id, day, service from rolled full join said using (project_id, day, service)
        where (coalesce(rolled.requests, 0), coalesce(rolled.audio_ms, 0), coalesce(rolled.charge_micros, 0))
            <> (coalesce(said.requests, 0), coalesce(said.audio_ms, 0), coalesce(said.charge_micros, 0))
    ), used as (
        select project_id, day, service, coalesce(model, '') as model, count(*) as requests,
            sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from usage_requests join moved using (project_id, day, service)
        where day >= (select since from kept) group by project_id, day, service, coalesce(model, '')
        union all
        select project_id, day, service, '', requests, audio_ms, charge_micros
        from rolled join moved using (project_id, day, service) where day < (select since from kept)
    ), stated as (
        select project_id, day, service, model, sum(requests)::bigint as requests, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros
        from statement_lines join moved using (project_id, day, service) group by project_id, day, service, model
    ), unstated as (
        select project_id::text, service, model, day,
            coalesce(used.requests, 0) - coalesce(stated.requests, 0) as requests,
            coalesce(used.audio_ms, 0) - coalesce(stated.audio_ms, 0) as audio_ms,
            coalesce(used.charge_micros, 0) - coalesce(stated.charge_micros, 0) as charge_micros
        from used full join stated using (project_id, day, service, model)
    )
    select * from unstated where (requests, audio_ms, charge_micros) <> (0, 0, 0)
    order by day, project_id, service, model
    """,
)
_LINES: Final = Query(
    Line,
    """
    select project_id::text, service, model, day, requests, audio_ms, charge_micros from statement_lines
    where account_id = $1 and month = $2 order by day, project_id, service, model
    """,
)
_ENTRIES: Final = Query(
    Entry,
    """
    select entry_id::text as credit_id, kind, amount_micros, note, created from ledger_entries
    where account_id = $1 and created >= $2 and created < $3 order by created, entry_id
    """,
)


async def of_project(connection: Connection, project_id: str) -> str | None:
    """The billing account of a project that exists."""
    found = await _OF_PROJECT.first(connection, project_id)
    return None if found is None else found.account_id


async def of_owner(connection: Connection, user_id: str) -> str | None:
    """A person's billing account."""
    found = await _OF_OWNER.first(connection, user_id)
    return None if found is None else found.account_id


async def lock(connection: Connection, account_id: str) -> None:
    """Let nobody else close a month of this account until the end of the transaction."""
    await _LOCK.one(connection, account_id)


async def closed(connection: Connection, account_id: str, until: date | None = None) -> Closed | None:
    """The newest closed month, of those until `until`."""
    return await _CLOSED.first(connection, account_id, until)


async def active(connection: Connection, account_id: str) -> list[date]:
    """The months in which something was used or credited, in order."""
    return [one.month for one in await _ACTIVE.all(connection, account_id)]


async def unstated(connection: Connection, account_id: str, before: date) -> list[Line]:
    """What was used before this day and is in no statement."""
    return await _UNSTATED.all(connection, account_id, before)


async def lines(connection: Connection, account_id: str, month: date) -> list[Line]:
    """The lines of a closed month."""
    return await _LINES.all(connection, account_id, month)


async def entries(connection: Connection, account_id: str, start: datetime, end: datetime) -> list[Entry]:
    """The ledger's entries from `start` on, before `end`."""
    return await _ENTRIES.all(connection, account_id, start, end)


async def close(connection: Connection, account_id: str, month: Closed, said: list[Line]) -> None:
    """Store a month as closed."""
    await connection.execute(
        "insert into statements (account_id, month, opening_micros, closing_micros) values ($1, $2, $3, $4)",
        account_id,
        month.month,
        month.opening_micros,
        month.closing_micros,
    )
    await connection.execute(
        """
        insert into statement_lines
        select $1, $2, * from unnest(
            $3::date[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
        """,
        account_id,
        month.month,
        [one.day for one in said],
        [one.project_id for one in said],
        [one.service for one in said],
        [one.model for one in said],
        [one.requests for one in said],
        [one.audio_ms for one in said],
        [one.charge_micros for one in said],
    )
