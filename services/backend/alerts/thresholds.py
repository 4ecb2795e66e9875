"""Looks at whatever has moved money or audio, and writes an event for each threshold that is crossed.

sqs_updater writes which projects moved in the transaction that moves them, the ledger which accounts: so nothing is
missed, whichever process dies. One backend of the fleet looks at a time, under a lock: of two, the slower one could see
a balance from before the other's look, and take a threshold for one that is crossed once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from aldea.postgres import Connection, Database
from aldea.rows import Query
from backend.alerts import outbox
from backend.alerts.events import Event, Fallen, Used, of_balance, of_use
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.alerts")

# An event should be on its way two seconds after its reading; the pipeline takes most of one.
LOOK_SECONDS: Final = 0.15
AGAIN_SECONDS: Final = 2.0
# Moves of one look; more wait for the next. Sums over so many projects take part of a second.
MOVES: Final = 2000
# Any number that nobody else locks.
_LOCK: Final = "select pg_try_advisory_xact_lock(4815162342)"


@dataclass(frozen=True, slots=True)
class Move:
    """What has moved: a project's usage, or an account's ledger."""

    project_id: str | None
    account_id: str | None


_TAKE: Final = Query(
    Move,
    """
    with taken as (
        delete from alert_moves where move_id in (select move_id from alert_moves order by move_id limit $1)
        returning project_id, account_id
    )
    select distinct project_id::text, account_id::text from taken
    """,
)

# $1: accounts of which something has moved; $2: the month's first day. A new limit is one more row of `monthly_use`.
_USED: Final = Query(
    Used,
    """
    with found as materialized (select * from monthly_use($2, $1) where good), limits as (
        select 'quota.reached' as type, subject, subject_id, project_id, account_id, audio_limit_ms as allowed,
            audio_ms as used
        from found
        union all
        select 'budget.reached', subject, subject_id, project_id, account_id, budget_micros, charge_micros from found
    )
    select type, subject, subject_id::text, project_id::text, account_id::text, allowed, used
    from limits where allowed > 0 and used * 2 >= allowed order by type, subject, subject_id
    """,
)
_ACCOUNTS: Final = "select distinct account_id::text from projects where project_id = any($1::uuid[])"
# A balance falls below a threshold, and can do so again once it was above. `spent`: to where admission refuses.
# An account without any entry of its ledger that has spent nothing is not limited (admission's money.lua).
_BALANCES: Final = Query(
    Fallen,
    """
    with accounts as (
        select account_id, balance_thresholds,
            case when plan = 'postpaid' then -credit_limit_micros else 0 end as spent_at,
            coalesce((
                select sum(amount_micros) from ledger_entries where ledger_entries.account_id = account.account_id
            ), 0)::bigint - coalesce(spent_micros, 0) as balance,
            exists (select from ledger_entries where ledger_entries.account_id = account.account_id)
                or coalesce(spent_micros, 0) > 0 as limited
        from billing_accounts as account left join account_spend using (account_id)
        where account_id = any($1::uuid[]) or account_id in (
            select account_id from projects where project_id = any($2::uuid[]))
    ), levels as (
        select account_id, balance, threshold, false as spent, balance < threshold as below
        from accounts cross join lateral unnest(balance_thresholds) as threshold
        where limited and threshold is distinct from spent_at
        union all
        select account_id, balance, spent_at, true, balance <= spent_at from accounts
        where limited and spent_at is not null
    ), marked as (
        insert into balance_marks as mark (account_id, threshold_micros, below, times)
        select account_id, threshold, below, below::int from levels order by account_id, threshold
        on conflict (account_id, threshold_micros) do update
            set below = excluded.below, times = mark.times + excluded.below::int
            where mark.below <> excluded.below
        returning account_id, threshold_micros, below, times
    )
    select marked.account_id::text, threshold_micros, balance as balance_micros, spent, times
    from marked join levels on levels.account_id = marked.account_id and threshold = threshold_micros
    where marked.below order by marked.account_id, threshold_micros
    """,
)


class Thresholds(Sweeping):
    """The looks of one backend process. `made`: called when events were written."""

    def __init__(
        self,
        database: Database,
        made: Callable[[], None] = lambda: None,
        *,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        super().__init__(
            name="alert-thresholds",
            every=LOOK_SECONDS,
            again=AGAIN_SECONDS,
            failure="thresholds not looked at",
            log=log,
        )
        self._database = database
        self._made = made
        self._today = today

    async def sweep_now(self) -> int:
        """Look at what has moved; how many events that were. Raises DatabaseUnavailable, asyncpg.PostgresError."""
        async with self._database.connection() as connection:
            if not await connection.fetchval("select exists (select from alert_moves)"):
                return 0
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_LOCK):
                return 0
            events = await self._look(connection)
            count = await outbox.add(connection, events)
        if count:
            log.info("thresholds crossed", events=count)
            self._made()
        return count

    async def _look(self, connection: Connection) -> list[Event]:
        # What moved is visible to the statements behind this one: it was committed before its move could be taken.
        moves = await _TAKE.all(connection, MOVES)
        projects = [move.project_id for move in moves if move.project_id is not None]
        accounts = [move.account_id for move in moves if move.account_id is not None]
        events: list[Event] = []
        if projects:
            of = [str(found["account_id"]) for found in await connection.fetch(_ACCOUNTS, projects)]
            for month in _months(self._today()):
                for used in await _USED.all(connection, of, month):
                    events += of_use(used, month)
        events += [of_balance(fallen) for fallen in await _BALANCES.all(connection, accounts, projects)]
        return events


def _months(today: date) -> Sequence[date]:
    """The months that are looked at, by their first days: on the first day also the last one, whose end comes late."""
    this = today.replace(day=1)
    return (this,) if today.day > 1 else ((this - timedelta(days=1)).replace(day=1), this)
