"""The ledger's table, which is only ever added to: statements on the connection that they are given."""

from datetime import datetime
from typing import Final

import asyncpg

from aldea.postgres import Connection
from backend.api.endpoint import SYSTEM, Actor

WELCOME: Final = "Welcome credit"

_COLUMNS: Final = """
    entry_id::text as credit_id, project_id::text, kind, amount_micros, note, expires, created
"""


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
) -> asyncpg.Record | None:
    """Credit the billing account of a project with micro-dollars; None if the id is taken.

    `kind`: a grant by default, or an adjustment if the amount is below zero.
    """
    return await connection.fetchrow(
        f"""
        insert into ledger_entries (
            entry_id, account_id, project_id, kind, amount_micros, note, expires, actor_kind, actor_id)
        select coalesce($4, uuidv7()), account_id, project_id, $5, $2, $3, $6, $7, $8
        from projects where project_id = $1
        on conflict (entry_id) do nothing
        returning {_COLUMNS}
        """,  # noqa: S608 - a constant
        project_id,
        amount_micros,
        note,
        credit_id,
        kind or ("grant" if amount_micros > 0 else "adjustment"),
        expires,
        actor.kind,
        actor.actor_id,
    )


async def lock_plan(connection: Connection, project_id: str) -> asyncpg.Record | None:
    """A project's billing account and its plan, locked for a change; None: no such project."""
    return await connection.fetchrow(
        """
        select account_id::text, plan from billing_accounts
        where account_id = (select account_id from projects where project_id = $1 and deleted is null)
        for no key update
        """,
        project_id,
    )


async def set_plan(connection: Connection, account_id: str, plan: str) -> None:
    """Give a billing account another plan."""
    await connection.execute("update billing_accounts set plan = $2 where account_id = $1", account_id, plan)


async def welcome(connection: Connection, project_id: str, amount_micros: int) -> asyncpg.Record | None:
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


async def by_id(connection: Connection, credit_id: str) -> asyncpg.Record | None:
    """One entry, of whichever account."""
    return await connection.fetchrow(
        f"select {_COLUMNS} from ledger_entries where entry_id = $1",  # noqa: S608 - a constant
        credit_id,
    )


async def newest(connection: Connection, project_id: str, limit: int) -> list[asyncpg.Record]:
    """The entries of a project's billing account, newest first."""
    return await connection.fetch(
        f"""
        select {_COLUMNS} from ledger_entries
        where account_id = (select account_id from projects where projects.project_id = $1)
        order by created desc, entry_id desc limit $2
        """,  # noqa: S608 - a constant
        project_id,
        limit,
    )


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


async def entries(connection: Connection, account_id: str) -> list[asyncpg.Record]:
    """All entries of an account, with whether those that expire have expired."""
    return await connection.fetch(
        """
        select entry_id::text, kind, amount_micros, expires, expires <= now() as expired, of_entry::text, created
        from ledger_entries where account_id = $1 order by created, entry_id
        """,
        account_id,
    )


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
