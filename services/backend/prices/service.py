"""Operators' operations on the price book. A price is never changed: another one that begins later replaces it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from aiohttp import web

from aldea.postgres import Database
from backend.api.endpoint import Actor
from backend.changes import Changes
from backend.prices import repository
from backend.prices.errors import PriceTaken, PriceUnusable

# Before its first request begins a price must be known to everybody, whatever a transaction or a clock takes. The
# database itself refuses less than half of it.
SOONEST: Final = timedelta(minutes=2)
# A year, and no year that somebody mistyped.
LATEST: Final = timedelta(days=366)
# As many as a page shows: some are added in a year.
SHOWN: Final = 500


class PriceService:
    """The price book."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def all(self) -> list[repository.PriceRow]:
        """The prices that begin last, those first."""
        async with self._database.connection() as connection:
            return await repository.newest(connection, SHOWN)

    async def of_project(self, project_id: str) -> list[repository.PriceRow]:
        """What a project pays now, and what is announced."""
        async with self._database.connection() as connection:
            return await repository.of_project(connection, project_id)

    async def add(
        self,
        actor: Actor,
        user_id: str,
        *,
        plan: str,
        service: str,
        model: str | None,
        micros_per_hour: int,
        begins: date,
    ) -> repository.PriceRow:
        """Add a price once, however often it is requested. `begins`: a UTC day or a time; `model`: None: of any.

        Raises PriceUnusable, PriceTaken.
        """
        begin = moment(begins)
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            found = await repository.beginning_at(
                connection, plan=plan, service=service, model=model, effective_from=begin
            )
            if found is None:
                _refuse_unusable(begin)
                made = await repository.insert(
                    connection,
                    plan=plan,
                    service=service,
                    model=model,
                    micros_per_hour=micros_per_hour,
                    effective_from=begin,
                    user_id=user_id,
                )
                if made is not None:
                    change.prices(
                        plan,
                        "price.add",
                        str(made.price_id),
                        service=service,
                        micros_per_hour=micros_per_hour,
                        effective_from=begin.isoformat(),
                        **({} if model is None else {"model": model}),
                    )
                    return made
                # Somebody else added it meanwhile, and has committed.
                found = await repository.beginning_at(
                    connection, plan=plan, service=service, model=model, effective_from=begin
                )
        if found is None or found.micros_per_hour != micros_per_hour:
            of_model = "" if model is None else f" {model}"
            raise PriceTaken(
                f"effective_from: another price of {plan} {service}{of_model} begins at {begin:%Y-%m-%dT%H:%M:%SZ}, "
                "and no price is changed. Choose another time."
            )
        return found


def moment(begins: date) -> datetime:
    """A UTC day as its first moment; a time as it is."""
    return begins if isinstance(begins, datetime) else datetime.combine(begins, time(), UTC)


def _refuse_unusable(begin: datetime) -> None:
    now = datetime.now(UTC)
    if not now + SOONEST <= begin <= now + LATEST:
        raise PriceUnusable(
            f"effective_from: got {begin:%Y-%m-%dT%H:%M:%SZ}; allowed: {now + SOONEST:%Y-%m-%dT%H:%M:%SZ} (two minutes "
            f"from now) to {now + LATEST:%Y-%m-%d}. What has begun is charged already; a new price begins later."
        )


PRICES: Final = web.AppKey("prices", PriceService)
