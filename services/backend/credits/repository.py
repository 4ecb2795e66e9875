"""The ledger's table, which is only ever added to: statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.api.endpoint import SYSTEM, Actor
from backend.credits.models import Kind
from backend.prices.models import Plan

WELCOME: Final = "Welcome credit"


@dataclass(frozen=True, slots=True)
class CreditRow:
    """An entry of the ledger; `project_id`: None for what no project was credited with."""

    credit_id: str
    account_id: str
    project_id: str | None
    kind: Kind
    amount_micros: int
    note: str
    expires: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """How a billing account pays."""

    account_id: str
    plan: Plan
    credit_limit_micros: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as its expiry needs it. `of_entry`: the grant that an expiry takes back."""

    entry_id: str
    kind: Kind
    amount_micros: int
    expires: datetime | None
    expired: bool | None
    of_entry: str | None


_COLUMNS: Final = """
    entry_id::text as credit_id, account_id::text, project_id::text, kind, amount_micros, note, expires, created
"""
_INSERT: Final = Query(
    CreditRow,
    f"""
    insert into ledger_entries (
        entry_id, account_id, project_id, kind, amount_micros, note, expires, actor_kind, actor_id)
    select coalesce($4, uuidv7()), account_id, project_id, $5, $2, $3, $6, $7, $8
    from projects where project_id = $1
    on conflict (entry_id) do nothing
    returning {_COLUMNS}
    """,  # noqa: S608 - a constant
)
_PLAN: Final = """
    select account_id::text, plan, credit_limit_micros from billing_accounts
    where account_id = (select account_id from projects where project_id = $1 and deleted is null)
"""
_PLAN_OF: Final = Query(AccountPlan, _PLAN)
_LOCK_PLAN: Final = Query(AccountPlan, f"{_PLAN} for no key update")
_BY_ID: Final = Query(CreditRow, f"select {_COLUMNS} from ledger_entries where entry_id = $1")  # noqa: S608 - a constant
_NEWEST: Final = Query(
    CreditRow,
    f"""
    select {_COLUMNS} from ledger_entries
    where account_id = (select account_id from projects where projects.project_id = $1)
    order by created desc, entry_id desc limit $2
    """,  # noqa: S608 - a constant
)
_ENTRIES: Final = Query(
    Entry,
    """
    select entry_id::text, kind, amount_micros, expires, expires <= now() as expired, of_entry::text
    from ledger_entries where account_id = $1 order by created, entry_id
    """,
)


async def insert(
    connection: Connection,
    project_id: str,
    amount_micros: int,
    note: str,
    credit_id: str | None = None,
    *,
    kind: str | None = None,
    expires: datetime | None = None,
    actor: Actor = SYSTEM,
) -> CreditRow | None:
    """Credit the billing account of a project with micro-dollars; None if the id is taken.

    `kind`: a grant by default, or an adjustment if the amount is below zero.
    """
    return await _INSERT.first(
        connection,
        project_id,
        amount_micros,
        note,
        credit_id,
        kind or ("grant" if amount_micros > 0 else "adjustment"),
        expires,
        actor.kind,
        actor.actor_id,
    )


async def plan_of(connection: Connection, project_id: str) -> AccountPlan | None:
    """The plan and credit limit of a project's billing account; None: no such project."""
    return await _PLAN_OF.first(connection, project_id)


async def lock_plan(connection: Connection, project_id: str) -> AccountPlan | None:
    """The same, locked for a change."""
    return await _LOCK_PLAN.first(connection, project_id)


async def set_plan(connection: Connection, account_id: str, plan: str, credit_limit_micros: int | None = None) -> None:
    """Give a billing account another plan and credit limit."""
    await connection.execute(
        """
        update billing_accounts set plan = $2, credit_limit_micros = $3, revision = nextval('revisions')
        where account_id = $1
        """,
        account_id,
        plan,
        credit_limit_micros,
    )


async def welcome(connection: Connection, project_id: str, amount_micros: int) -> CreditRow | None:
    """Grant the welcome credit to a project's billing account; None if it has had it."""
    if await connection.fetchval(
        """
        select exists (
            select from ledger_entries join projects using (account_id) where projects.project_id = $1 and note = $2)
        """,
        project_id,
        WELCOME,
    ):
        return None
    return await insert(connection, project_id, amount_micros, WELCOME)


async def by_id(connection: Connection, credit_id: str) -> CreditRow | None:
    """One entry, of whichever account."""
    return await _BY_ID.first(connection, credit_id)


async def newest(connection: Connection, project_id: str, limit: int) -> list[CreditRow]:
    """The entries of a project's billing account, newest first."""
    return await _NEWEST.all(connection, project_id, limit)


async def with_expired(connection: Connection, limit: int) -> list[str]:
    """Accounts with a grant that has expired, and no entry yet that says so."""
    rows = await connection.fetch(
        """
        select distinct account_id::text from ledger_entries as granted
        where expires <= now() and not exists (
            select from ledger_entries as expiry where expiry.of_entry = granted.entry_id and expiry.kind = 'expiry')
        limit $1
        """,
        limit,
    )
    return [row["account_id"] for row in rows]


async def lock_spend(connection: Connection, account_id: str) -> int:
    """What an account has spent, in micro-dollars; nothing is charged to it until the end of the transaction."""
    await connection.execute(
        "insert into account_spend (account_id, spent_micros) values ($1, 0) on conflict do nothing", account_id
    )
    return int(
        await connection.fetchval(
            "select spent_micros from account_spend where account_id = $1 for no key update", account_id
        )
    )


async def entries(connection: Connection, account_id: str) -> list[Entry]:
    """All entries of an account, with whether those that expire have expired."""
    return await _ENTRIES.all(connection, account_id)


async def insert_expiry(connection: Connection, account_id: str, entry_id: str, amount_micros: int) -> None:
    """Take back what is left of a grant that has expired (`amount_micros` of zero or below), once."""
    await connection.execute(
        """
        insert into ledger_entries (account_id, kind, amount_micros, note, of_entry, actor_kind)
        values ($1, 'expiry', $2, 'Expired credit', $3, 'system')
        on conflict (of_entry) where kind = 'expiry' do nothing
        """,
        account_id,
        amount_micros,
        entry_id,
    )
