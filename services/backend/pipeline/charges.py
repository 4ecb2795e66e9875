"""`python -m backend reconcile --day D`, of money: charges are audio at its price, an account spent their sum."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from aldea.postgres import Database
from aldea.rows import Query

# The price of a request that has none yet: an sqs_updater of a release before the price book wrote it.
_PRICED: Final = """
    select request.request_id, request.day, request.project_id, request.audio_ms, request.charge_micros as stored,
        price.price_id, charge_micros(request.audio_ms, price.micros_per_hour) as recomputed
    from usage_requests as request
    left join billed_projects as billed using (project_id)
    cross join lateral (
        select price_id, micros_per_hour from prices
        where case when request.price_id is not null then price_id = request.price_id
            else prices.plan = coalesce(billed.plan, 'free') and prices.service = request.service
                and (prices.model is null or prices.model = request.model)
                and effective_from <= to_timestamp(request.started_ms / 1000.0) end
        order by prices.model is null, effective_from desc limit 1
    ) as price
    where request.day = $1
        and (request.price_id is null
            or request.charge_micros <> charge_micros(request.audio_ms, price.micros_per_hour))
    order by request.request_id
"""
# The rollup moves with the rows. Rows are locked in the writers' order.
_REPAIR: Final = f"""
with wrong as (
    {_PRICED} for no key update of request
), repaired as (
    update usage_requests as request set price_id = wrong.price_id, charge_micros = wrong.recomputed
    from wrong where request.request_id = wrong.request_id and request.day = wrong.day
    returning new.project_id, new.day, new.key_id, new.service, new.endpoint,
        new.charge_micros - old.charge_micros as charge_micros
), spent as (
    insert into account_spend as spend (account_id, spent_micros)
    select account_id, sum(charge_micros) from repaired join billed_projects using (project_id)
    group by account_id order by account_id
    on conflict (account_id) do update set spent_micros = spend.spent_micros + excluded.spent_micros
)
update usage_daily as daily set charge_micros = daily.charge_micros + moved.charge_micros
from (
    select project_id, day, key_id, service, endpoint, sum(charge_micros)::bigint as charge_micros
    from repaired group by project_id, day, key_id, service, endpoint
) as moved
where (moved.project_id, moved.day, moved.key_id, moved.service, moved.endpoint)
    = (daily.project_id, daily.day, daily.key_id, daily.service, daily.endpoint)
"""  # noqa: S608 - a constant

# While a transaction holds the row, nobody who moves it can commit: see rollups.py.
_SPENT_ENSURE: Final = "insert into account_spend values ($1, 0) on conflict (account_id) do nothing"
_SPENT_LOCK: Final = "select from account_spend where account_id = $1 for update"
# A project's charges are its account's, but for those that the statement of a closed month says: these stay with the
# account that it was closed for, wherever the project has moved.
_SPENT_SET: Final = """
    update account_spend set spent_micros =
        (select coalesce(sum(charge_micros), 0) from usage_daily join projects using (project_id) where account_id = $1)
        + (select coalesce(sum(charge_micros), 0) from statement_lines where account_id = $1)
        - (select coalesce(sum(charge_micros), 0) from statement_lines where project_id in (
            select project_id from projects where account_id = $1))
    where account_id = $1
"""


@dataclass(frozen=True, slots=True)
class WrongSpend:
    """A billing account whose spend is not the sum of its charges, in micro-dollars."""

    account_id: UUID
    stored: int
    recomputed: int

    def __str__(self) -> str:
        return f"account {self.account_id}: spent_micros {self.stored} → {self.recomputed}"

    def to_object(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {"account_id": str(self.account_id), "stored": self.stored, "recomputed": self.recomputed}


@dataclass(frozen=True, slots=True)
class WrongCharge:
    """A request whose charge is not its audio at its own price, in micro-dollars."""

    request_id: UUID
    project_id: UUID
    price_id: int
    audio_ms: int
    stored: int
    recomputed: int

    def __str__(self) -> str:
        return (
            f"project {self.project_id} request {self.request_id} price {self.price_id}: "
            f"charge_micros {self.stored} → {self.recomputed}"
        )

    def to_object(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "request_id": str(self.request_id),
            "project_id": str(self.project_id),
            "price_id": self.price_id,
            "audio_ms": self.audio_ms,
            "stored": self.stored,
            "recomputed": self.recomputed,
        }


_WRONG_CHARGES: Final = Query(
    WrongCharge,
    f"select request_id, project_id, price_id, audio_ms, stored, recomputed from ({_PRICED}) as priced",  # noqa: S608 - a constant
)
# What accounts have spent beside the charges of their projects' totals; one snapshot, as in rollups.py.
_WRONG_SPEND: Final = Query(
    WrongSpend,
    """
    select account_id, coalesce(spend.spent_micros, 0) as stored, coalesce(charged.micros, 0) as recomputed
    from account_spend as spend full join (
        select account_id, sum(micros)::bigint as micros from (
            select account_id, charge_micros as micros from usage_daily join projects using (project_id)
            union all select account_id, charge_micros from statement_lines
            union all select projects.account_id, -charge_micros
                from statement_lines join projects using (project_id)
        ) as each group by account_id
    ) as charged using (account_id)
    where coalesce(spend.spent_micros, 0) <> coalesce(charged.micros, 0)
    order by account_id
    """,
)


async def reconcile_charges(database: Database, day: date, *, repair: bool = True) -> list[WrongCharge]:
    """Set the charges of a UTC day's requests to their audio at their prices; returns what differed.

    A request without a price gets the one that was in force when it began. Raises DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        found = await _WRONG_CHARGES.all(connection, day)
        if found and repair:
            await connection.execute(_REPAIR, day)
    return found


async def reconcile_spend(database: Database, *, repair: bool = True) -> list[WrongSpend]:
    """Set what every billing account has spent to the sum of its charges; returns what differed.

    Of all days: run it when the rollups are right. Raises DatabaseUnavailable.
    """
    async with database.connection() as connection:
        found = await _WRONG_SPEND.all(connection)
    for one in found if repair else ():
        async with database.transaction() as connection:
            for statement in (_SPENT_ENSURE, _SPENT_LOCK, _SPENT_SET):
                await connection.execute(statement, one.account_id)
    return found
