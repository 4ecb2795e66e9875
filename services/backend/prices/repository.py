"""The price book's table, which is only ever added to: statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.prices.models import Plan
from backend.usage.models import Service


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price. `model`: None for all; `effective_from`: None from the beginning on."""

    price_id: int
    plan: Plan
    service: Service
    model: str | None
    micros_per_hour: int
    effective_from: datetime | None
    created: datetime


_COLUMNS: Final = """
    price_id, prices.plan, service, model, micros_per_hour, nullif(effective_from, '-infinity') as effective_from,
    prices.created
"""
_INSERT: Final = Query(
    PriceRow,
    f"""
    insert into prices (plan, service, micros_per_hour, effective_from, created_by, model)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (plan, service, model, effective_from) do nothing
    returning {_COLUMNS}
    """,  # noqa: S608 - a constant
)
_BEGINNING_AT: Final = Query(
    PriceRow,
    f"""
    select {_COLUMNS} from prices
    where plan = $1 and service = $2 and model is not distinct from $4 and prices.effective_from = $3
    """,  # noqa: S608 - a constant
)
_NEWEST: Final = Query(
    PriceRow,
    f"select {_COLUMNS} from prices order by prices.effective_from desc, price_id desc limit $1",  # noqa: S608 - a constant
)
_OF_PROJECT: Final = Query(
    PriceRow,
    f"""
    select {_COLUMNS} from prices
    where plan = (select plan from projects join billing_accounts using (account_id) where project_id = $1)
        and prices.effective_from >= coalesce((
            select max(begun.effective_from) from prices as begun
            where (begun.plan, begun.service) = (prices.plan, prices.service)
                and begun.model is not distinct from prices.model and begun.effective_from <= now()
        ), '-infinity')
    order by service desc, model nulls first, prices.effective_from
    """,  # noqa: S608 - a constant
)


async def insert(
    connection: Connection,
    *,
    plan: str,
    service: str,
    model: str | None,
    micros_per_hour: int,
    effective_from: datetime,
    user_id: str,
) -> PriceRow | None:
    """Add a price; None if another one of this plan, service and model begins at the same time."""
    return await _INSERT.first(connection, plan, service, micros_per_hour, effective_from, user_id, model)


async def beginning_at(
    connection: Connection, *, plan: str, service: str, model: str | None, effective_from: datetime
) -> PriceRow | None:
    """The price of a plan, service and model (None: of any) that begins at this time."""
    return await _BEGINNING_AT.first(connection, plan, service, effective_from, model)


async def newest(connection: Connection, limit: int) -> list[PriceRow]:
    """The prices that begin last, those first."""
    return await _NEWEST.all(connection, limit)


async def of_project(connection: Connection, project_id: str) -> list[PriceRow]:
    """What a project pays now and will pay, each service's and model's prices in the order in which they begin."""
    return await _OF_PROJECT.all(connection, project_id)


async def micros_per_hour(connection: Connection, project_id: str, service: str) -> int | None:
    """The price that a request of no model would have that began now in this project; None: no such project."""
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
