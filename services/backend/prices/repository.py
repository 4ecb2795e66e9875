"""The price book's table, which is only ever added to: statements on the connection that they are given."""

from datetime import datetime
from typing import Final

import asyncpg

from aldea.postgres import Connection

_COLUMNS: Final = """
    price_id, prices.plan, service, model, micros_per_hour, nullif(effective_from, '-infinity') as effective_from,
    prices.created
"""


async def insert(
    connection: Connection, *, plan: str, service: str, micros_per_hour: int, effective_from: datetime, user_id: str
) -> asyncpg.Record | None:
    """Add a price; None if another one of this plan and service begins at the same time."""
    return await connection.fetchrow(
        f"""
        insert into prices (plan, service, micros_per_hour, effective_from, created_by) values ($1, $2, $3, $4, $5)
        on conflict (plan, service, model, effective_from) do nothing
        returning {_COLUMNS}
        """,  # noqa: S608 - a constant
        plan,
        service,
        micros_per_hour,
        effective_from,
        user_id,
    )


async def beginning_at(
    connection: Connection, *, plan: str, service: str, effective_from: datetime
) -> asyncpg.Record | None:
    """The price of a plan and service that begins at this time."""
    return await connection.fetchrow(
        f"""
        select {_COLUMNS} from prices
        where plan = $1 and service = $2 and model is null and prices.effective_from = $3
        """,  # noqa: S608 - a constant
        plan,
        service,
        effective_from,
    )


async def newest(connection: Connection, limit: int) -> list[asyncpg.Record]:
    """The prices that begin last, those first."""
    return await connection.fetch(
        f"select {_COLUMNS} from prices order by prices.effective_from desc, price_id desc limit $1",  # noqa: S608 - a constant
        limit,
    )


async def of_project(connection: Connection, project_id: str) -> list[asyncpg.Record]:
    """What a project pays now and will pay, each service's prices in the order in which they begin."""
    return await connection.fetch(
        f"""
        select {_COLUMNS} from prices
        where plan = (select plan from projects join billing_accounts using (account_id) where project_id = $1)
            and prices.effective_from >= (
                select max(begun.effective_from) from prices as begun
                where (begun.plan, begun.service) = (prices.plan, prices.service) and begun.effective_from <= now())
        order by service desc, prices.effective_from
        """,  # noqa: S608 - a constant
        project_id,
    )


async def micros_per_hour(connection: Connection, project_id: str, service: str) -> int | None:
    """The price that a request of this project would have that began now; None: no such project."""
    found: int | None = await connection.fetchval(
        """
        select micros_per_hour from prices join billing_accounts using (plan) join projects using (account_id)
        where project_id = $1 and service = $2 and model is null and effective_from <= now()
        order by effective_from desc limit 1
        """,
        project_id,
        service,
    )
    return found
