"""Which projects' billing accounts can pay: found out every few seconds, mirrored to Redis as any change of a project.

A balance at or below zero pays for no further request. Admission refuses then with 402, and a renewal ends what runs; a
credit that raises it above zero lets both go on. Accounts that pay afterwards (`postpaid`) are never refused, nor are
those whose ledger is untouched: nothing was ever granted, and nothing charged.
"""

from typing import Final

import structlog

from aldea.postgres import Database
from backend.replication.notify import CHANNEL
from backend.sweeping import Sweeping

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


class Enforcement(Sweeping):
    """The sweep of one backend process; several may run at once, since each change is made once."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            name="balance-enforcement",
            every=SWEEP_SECONDS,
            again=RETRY_SECONDS,
            failure="balances not enforced",
            log=log,
        )
        self._database = database

    async def sweep_now(self) -> None:
        await self.sweep()

    async def sweep(self) -> int:
        """Note which projects can pay and which cannot; how many changed.

        Raises DatabaseUnavailable, asyncpg.PostgresError.
        """
        async with self._database.connection() as connection:
            changed: int = await connection.fetchval(_SWEEP)
        if changed:
            log.info("projects whose balance was spent, or is not any more", projects=changed)
        return changed
