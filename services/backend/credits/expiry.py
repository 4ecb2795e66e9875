"""Grants that expire: what is left of them is taken back. The soonest to expire is spent first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from aldea.postgres import Database
from backend.credits import repository
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.ledger")

SWEEP_SECONDS: Final = 60.0
# Accounts of one sweep; the next one goes on.
ACCOUNTS: Final = 1000
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant, as far as its expiry needs it. `taken_back`: what expired of it, None: it has not (been swept)."""

    entry_id: str
    amount_micros: int
    expires: datetime | None
    expired: bool
    taken_back: int | None = None


def due(grants: Sequence[Granted], consumed: int) -> dict[str, int]:
    """What is left of each grant that has expired and was not swept yet, by its id. Pure; amounts in micro-dollars.

    `consumed`: all charges, and what adjustments took away. It is met from the grants in the order in which they
    expire (of one time: in the order given). A grant that was swept keeps what was used of it then: charges that come
    later are met from the grants behind it.
    """
    found: dict[str, int] = {}
    swept = [one for one in grants if one.taken_back is not None]
    consumed = max(0, consumed - sum(one.amount_micros - (one.taken_back or 0) for one in swept))
    for one in sorted((one for one in grants if one.taken_back is None), key=lambda one: one.expires or _NEVER):
        used = min(consumed, one.amount_micros)
        consumed -= used
        if one.expired:
            found[one.entry_id] = one.amount_micros - used
    return found


class Expiry(Sweeping):
    """The sweep of one backend process; several may run at once, since a grant expires once."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            name="credit-expiry", every=SWEEP_SECONDS, again=SWEEP_SECONDS, failure="credit expiry failed", log=log
        )
        self._database = database

    async def sweep_now(self) -> None:
        await self.sweep()

    async def sweep(self) -> int:
        """Take back what is left of expired grants; of how many. Raises DatabaseUnavailable, asyncpg.PostgresError."""
        async with self._database.connection() as connection:
            accounts = await repository.with_expired(connection, ACCOUNTS)
        return sum([await self._expire(account_id) for account_id in accounts])

    async def _expire(self, account_id: str) -> int:
        async with self._database.transaction() as connection:
            spent = await repository.lock_spend(connection, account_id)
            entries = await repository.entries(connection, account_id)
            taken_back = {row.of_entry: -row.amount_micros for row in entries if row.kind == "expiry"}
            grants = [
                Granted(
                    row.entry_id,
                    row.amount_micros,
                    row.expires,
                    bool(row.expired),
                    taken_back.get(row.entry_id),
                )
                for row in entries
                if row.kind != "expiry" and row.amount_micros > 0
            ]
            adjusted = sum(min(0, row.amount_micros) for row in entries if row.kind == "adjustment")
            left = due(grants, spent - adjusted)
            for entry_id, amount in left.items():
                await repository.insert_expiry(connection, account_id, entry_id, -amount)
        if left:
            log.info("credit expired", account_id=account_id, grants=len(left), amount_micros=sum(left.values()))
        return len(left)
