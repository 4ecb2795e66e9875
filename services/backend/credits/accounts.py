"""What Redis holds of billing accounts and prices, read from PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.redis.prices import schedule
from aldea.redis.schema import AccountRecord, account_key, prices_key
from aldea.rows import Query
from aldea.turns import in_turns
from backend.limits.mirrored import record_of_limits
from backend.replication.mirror import Entry, Spent


@dataclass(frozen=True, slots=True)
class Account:
    """A billing account with its ledger's sum: None if that has no entry."""

    account_id: str
    plan: str
    credit_limit_micros: int | None
    revision: int
    granted_micros: int | None
    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None
    monthly_budget_micros: int | None


@dataclass(frozen=True, slots=True)
class Spend:
    """What an account was charged, ever."""

    account_id: str
    spent_micros: int


@dataclass(frozen=True, slots=True)
class PriceOfPlan:
    """A price that some request may still begin under. `from_ms`: Unix time; `newest`: the plan's newest price."""

    plan: str
    service: str
    model: str | None
    micros_per_hour: int
    from_ms: int
    newest: int


_ACCOUNTS: Final = """
    select account_id::text, plan, credit_limit_micros, revision, (
        select sum(amount_micros)::bigint from ledger_entries where ledger_entries.account_id = accounts.account_id
    ) as granted_micros, requests_per_minute, concurrent_streams, monthly_audio_seconds, monthly_budget_micros
    from billing_accounts as accounts
"""
_OF_IDS: Final = Query(Account, _ACCOUNTS + "where account_id = any($1::uuid[])")
_OF_PROJECTS: Final = Query(
    Account,
    f"{_ACCOUNTS} where account_id in (select account_id from projects where project_id = any($1::uuid[]))",  # noqa: S608 - a constant
)
_PAGE: Final = Query(Account, _ACCOUNTS + "where $1::uuid is null or account_id > $1 order by account_id limit $2")
_SPEND: Final = Query(
    Spend,
    """
    select account_id::text, coalesce(spent_micros, 0) as spent_micros
    from billing_accounts left join account_spend using (account_id)
    where $1::uuid is null or account_id > $1 order by account_id limit $2
    """,
)
# Those that had ended before the plan's newest price was added are left out: no request begins under them any more. So
# what is said of a plan changes with its newest price only, and that is the record's revision.
_PRICES: Final = Query(
    PriceOfPlan,
    """
    with listed as (
        select *, max(created) over (partition by plan) as changed, max(price_id) over (partition by plan) as newest,
            lead(effective_from) over (partition by plan, service, model order by effective_from) as ends
        from prices where plan = any($1::text[])
    )
    select plan, service, model, micros_per_hour,
        case when effective_from = '-infinity' then 0 else (extract(epoch from effective_from) * 1000)::bigint end
            as from_ms,
        newest
    from listed where ends is null or ends > changed
    """,
)
PLANS: Final = ("free", "prepaid", "postpaid")


async def entries_of_ids(connection: Connection, account_ids: Sequence[str]) -> list[Entry]:
    """What Redis holds of these accounts."""
    return await _entries(await _OF_IDS.all(connection, list(account_ids)))


async def entries_of_projects(connection: Connection, project_ids: Sequence[str]) -> list[Entry]:
    """What Redis holds of the accounts that these projects belong to."""
    return await _entries(await _OF_PROJECTS.all(connection, list(project_ids)))


async def page_of_entries(connection: Connection, after: str | None, limit: int) -> tuple[list[Entry], str | None]:
    """A page of what Redis holds of all accounts, and where the next one begins (None: this was the last)."""
    rows = await _PAGE.all(connection, after, limit)
    return await _entries(rows), (rows[-1].account_id if len(rows) == limit else None)


async def page_of_spend(connection: Connection, after: str | None, limit: int) -> tuple[dict[str, Spent], str | None]:
    """A page of what accounts were charged, by account, and where the next one begins."""
    rows = await _SPEND.all(connection, after, limit)
    found = {row.account_id: Spent(row.spent_micros) async for row in in_turns(rows)}
    return found, (rows[-1].account_id if len(rows) == limit else None)


async def price_entries(connection: Connection, plans: Sequence[str] = PLANS) -> list[Entry]:
    """What Redis holds of the prices of these plans: a schedule for each service, and for each model of one."""
    fields: dict[str, dict[str, list[tuple[int, int]]]] = {}
    newest: dict[str, int] = {}
    async for row in in_turns(await _PRICES.all(connection, list(plans))):
        name = row.service if row.model is None else f"{row.service} {row.model}"
        fields.setdefault(row.plan, {}).setdefault(name, []).append((row.from_ms, row.micros_per_hour))
        newest[row.plan] = row.newest
    return [
        Entry(prices_key(plan), newest[plan], {name: schedule(prices) for name, prices in found.items()})
        for plan, found in fields.items()
    ]


async def _entries(rows: Sequence[Account]) -> list[Entry]:
    return [_entry(row) async for row in in_turns(rows)]


def _entry(row: Account) -> Entry:
    # Accounts that pay afterwards owe up to their credit limit, or without one any amount.
    owed = row.credit_limit_micros if row.plan == "postpaid" else 0
    limits = record_of_limits(
        row.account_id,
        requests_per_minute=row.requests_per_minute,
        concurrent_streams=row.concurrent_streams,
        monthly_audio_seconds=row.monthly_audio_seconds,
        monthly_budget_micros=row.monthly_budget_micros,
    )
    record = AccountRecord(plan=row.plan, granted_micros=row.granted_micros, owed_micros=owed, limits=limits)
    return Entry(account_key(row.account_id), row.revision, record.to_hash())
