"""Which projects' billing accounts can pay: found out every few seconds, mirrored to Redis as any change of a project.

A balance at or below zero pays for no further request. Admission refuses then with 402, and a renewal ends what runs; a
credit that raises it above zero lets both go on. Accounts that pay afterwards (`postpaid`) are never refused, nor are
those whose ledger is untouched: nothing was ever granted, and nothing charged.
"""

import asyncio
import random
from typing import Final

import asyncpg
import structlog

from aldea.errors import ServiceUnavailable
from aldea.postgres import Database
from aldea.tasks import cancel, spawn
from backend.replication.notify import CHANNEL

log = structlog.get_logger("backend.ledger")

# With a checkpoint's and a renewal's ten seconds and the pipeline's one it bounds what a stream uses beyond its
# account's balance. A sweep reads every account.
SWEEP_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 10.0
_SWEEP: Final = f"""
with judged as (
    select account_id, plan <> 'postpaid' and (granted is not null or spent is not null)
        and coalesce(granted, 0) - coalesce(spent, 0) <= 0 as spent_up
    from billing_accounts
    left join (
        select account_id, sum(amount_micros) as granted from ledger_entries group by account_id
    ) as ledger using (account_id)
    left join (
        select account_id, spent_micros as spent from account_spend where spent_micros <> 0
    ) as charged using (account_id)
), changed as (
    update projects set balance_spent = spent_up, revision = nextval('revisions')
    from judged
    where judged.account_id = projects.account_id and balance_spent <> spent_up and deleted is null
    returning project_id
)
select count(pg_notify('{CHANNEL}', 'project:' || project_id)) from changed
"""  # noqa: S608 - constants


class Enforcement:
    """The sweep of one backend process; several may run at once, since each change is made once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep in the background until `stop`."""
        self._task = spawn(self.run(), name="balance-enforcement")

    async def stop(self) -> None:
        """End the sweeping; a sweep is one transaction."""
        await cancel(self._task)

    async def run(self) -> None:
        """Sweep until cancelled. Raises only when cancelled."""
        while True:
            pause = RETRY_SECONDS
            try:
                await self.sweep()
                pause = SWEEP_SECONDS
            except (ServiceUnavailable, asyncpg.PostgresError) as error:
                log.warning("balances not enforced, will retry", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("balances not enforced")
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    async def sweep(self) -> int:
        """Note which projects can pay and which cannot; how many changed.

        Raises DatabaseUnavailable, asyncpg.PostgresError.
        """
        async with self._database.connection() as connection:
            changed: int = await connection.fetchval(_SWEEP)
        if changed:
            log.info("projects whose balance was spent, or is not any more", projects=changed)
        return changed
