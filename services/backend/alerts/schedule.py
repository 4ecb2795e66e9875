"""Events that the clock makes: keys that expire soon, prices that were announced; and the end of old events."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from aldea.postgres import Database
from aldea.rows import Query
from backend.alerts import outbox, repository
from backend.alerts.events import Event
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.alerts")

SWEEP_SECONDS: Final = 30.0
# Accounts notified of a price in one transaction; keys looked at in one sweep.
PAGE: Final = 500
KEYS: Final = 5000
# What happened once is known for as long. No period is longer than a month.
KEPT_DAYS: Final = 90
FORGOTTEN: Final = 5000


@dataclass(frozen=True, slots=True)
class Expiring:
    """A key that expires within so many days, having been made for longer than twice that."""

    key_id: str
    project_id: str
    comment: str
    expires: datetime
    days: int


@dataclass(frozen=True, slots=True)
class Announced:
    """A price that begins later, and which of its plan's accounts have been notified of it: those until `after`."""

    price_id: int
    plan: str
    service: str
    model: str | None
    micros_per_hour: int
    effective_from: datetime
    after: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """An account to notify."""

    account_id: str


_EXPIRING: Final = Query(
    Expiring,
    """
    select key_id::text, api_keys.project_id::text, comment, expires, days
    from api_keys join projects using (project_id) cross join unnest(array[7, 1]) as days
    where expires > now() and expires <= now() + days * interval '1 day' and revoked is null
        and (days = 1 or expires > now() + interval '1 day')
        and expires - api_keys.created > 2 * days * interval '1 day' and projects.deleted is null
        and not exists (
            select from alert_events
            where dedup = 'key.expiring:' || key_id || ':' || days || ':' || floor(extract(epoch from expires))::bigint)
    order by expires limit $1
    """,
)
_ANNOUNCED: Final = Query(
    Announced,
    """
    select price_id, plan, service, model, micros_per_hour, effective_from, after::text
    from price_announcements join prices using (price_id) where not done order by price_id limit 1
    for update of price_announcements skip locked
    """,
)
_ACCOUNTS: Final = Query(
    Account,
    """
    select account_id::text from billing_accounts where plan = $1 and ($2::uuid is null or account_id > $2)
    order by account_id limit $3
    """,
)


class Schedule(Sweeping):
    """The sweep of one backend process. `made`: called when events were written."""

    def __init__(self, database: Database, made: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            name="alert-schedule", every=SWEEP_SECONDS, again=SWEEP_SECONDS, failure="alerts not scheduled", log=log
        )
        self._database = database
        self._made = made

    async def sweep_now(self) -> int:
        """Write what the clock has made due; how many events. Raises DatabaseUnavailable, asyncpg.PostgresError."""
        count = await self._keys()
        while (page := await self._page_of_price()) is not None:
            count += page
        async with self._database.connection() as connection:
            await repository.forget_old(connection, KEPT_DAYS, FORGOTTEN)
        if count:
            self._made()
        return count

    async def _keys(self) -> int:
        async with self._database.connection() as connection:
            found = await _EXPIRING.all(connection, KEYS)
            return await outbox.add(connection, [_expiring(one) for one in found])

    async def _page_of_price(self) -> int | None:
        """Notify a page of a plan's accounts of a price; how many, None: there is nothing to announce."""
        async with self._database.transaction() as connection:
            price = await _ANNOUNCED.first(connection)
            if price is None:
                return None
            accounts = await _ACCOUNTS.all(connection, price.plan, price.after, PAGE)
            count = await outbox.add(connection, [_announced(price, one.account_id) for one in accounts])
            await connection.execute(
                "update price_announcements set after = coalesce($2::uuid, after), done = $3 where price_id = $1",
                price.price_id,
                accounts[-1].account_id if accounts else None,
                len(accounts) < PAGE,
            )
            return count


def _expiring(one: Expiring) -> Event:
    return Event(
        type="key.expiring",
        project_id=one.project_id,
        dedup=f"key.expiring:{one.key_id}:{one.days}:{int(one.expires.timestamp())}",
        data={"key_id": one.key_id, "comment": one.comment, "expires": one.expires.isoformat(), "days": one.days},
    )


def _announced(price: Announced, account_id: str) -> Event:
    return Event(
        type="price.announced",
        account_id=account_id,
        dedup=f"price.announced:{price.price_id}:{account_id}",
        data={
            "price_id": price.price_id,
            "plan": price.plan,
            "service": price.service,
            "model": price.model,
            "micros_per_hour": price.micros_per_hour,
            "effective_from": price.effective_from.isoformat(),
        },
    )
