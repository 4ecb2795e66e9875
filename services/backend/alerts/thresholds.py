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

# Every limit of a month that customers are notified of, from the tables' columns. Each is one select of the columns of
# `Used`; `by_key`, `by_project` and `by_account` have what was used in the month.
_LIMITS: Final = (
    """
    select 'quota.reached' as type, 'key' as subject, key_id as subject_id, project_id, account_id,
        key.monthly_audio_seconds * 1000 as allowed, audio_ms as used
    from by_key join api_keys as key using (key_id) join concerned using (project_id) where good
    """,
    """
    select 'budget.reached', 'key', key_id, project_id, account_id, key.monthly_budget_micros, charge_micros
    from by_key join api_keys as key using (key_id) join concerned using (project_id) where good
    """,
    """
    select 'quota.reached', 'project', project_id, project_id, account_id,
        least(monthly_audio_seconds, own_monthly_audio_seconds) * 1000, audio_ms
    from by_project join projects using (project_id, account_id) where deleted is null
    """,
    """
    select 'budget.reached', 'project', project_id, project_id, account_id, monthly_budget_micros, charge_micros
    from by_project join projects using (project_id, account_id) where deleted is null
    """,
    """
    select 'quota.reached', 'account', account_id, null, account_id, monthly_audio_seconds * 1000, audio_ms
    from by_account join billing_accounts using (account_id)
    """,
    """
    select 'budget.reached', 'account', account_id, null, account_id, monthly_budget_micros, charge_micros
    from by_account join billing_accounts using (account_id)
    """,
)
# $1: projects that have moved; $2, $3: the month's first day, and the next one's. What successors of a key used counts
# for the key whose limits they have (`limited_as`), also after that one was revoked.
_USED: Final = Query(
    Used,
    f"""
    with concerned as materialized (
        select project_id, account_id from projects where account_id in (
            select account_id from projects where project_id = any($1::uuid[]))
    ), used as materialized (
        select project_id, account_id, key_id, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros
        from usage_daily join concerned using (project_id) where day >= $2 and day < $3
        group by project_id, account_id, key_id
    ), by_key as (
        select coalesce(limited_as, key_id) as key_id, sum(audio_ms)::bigint as audio_ms,
            sum(charge_micros)::bigint as charge_micros, bool_or(revoked is null) as good
        from used join api_keys using (project_id, key_id) group by coalesce(limited_as, key_id)
    ), by_project as (
        select project_id, account_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from used group by project_id, account_id
    ), by_account as (
        select account_id, sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
        from used group by account_id
    ), limits as (
        {" union all ".join(_LIMITS)}
    )
    select type, subject, subject_id::text, project_id::text, account_id::text, allowed::bigint, used::bigint
    from limits where allowed > 0 and used * 2 >= allowed order by type, subject, subject_id
    """,  # noqa: S608 - constants
)
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
        for month in _months(self._today()) if projects else ():
            for used in await _USED.all(connection, projects, month, _after(month)):
                events += of_use(used, month)
        events += [of_balance(fallen) for fallen in await _BALANCES.all(connection, accounts, projects)]
        return events


def _months(today: date) -> Sequence[date]:
    """The months that are looked at, by their first days: on the first day also the last one, whose end comes late."""
    this = today.replace(day=1)
    return (this,) if today.day > 1 else ((this - timedelta(days=1)).replace(day=1), this)


def _after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
