"""Keeps the monthly partitions of usage_requests: coming months are created ahead, expired months are dropped."""

from datetime import UTC, date, datetime
from typing import Final

import structlog
from prometheus_client import Gauge

from aldea.postgres import Connection, Database
from backend.sweeping import Sweeping
from backend.usage.period import kept_since, month_from

log = structlog.get_logger("backend.partitions")

# Beside the present month. A reading's month must have its partition before the month begins, also if nobody looks at
# a failing sweep for weeks.
MONTHS_AHEAD: Final = 3
# A sweep that finds nothing to do makes a handful of catalogue queries.
SWEEP_SECONDS: Final = 3600.0
# One that failed (a long query held a lock, the server was unavailable) is repeated sooner.
RETRY_SECONDS: Final = 60.0

STRAYS: Final = Gauge(
    "aldea_usage_stray_requests", "Requests in the default partition: of months further off than partitions are made"
)

_MONTHS_OF_DEFAULT: Final = """
select date_trunc('month', day)::date as month, count(*) as requests from usage_requests_default group by 1 order by 1
"""


class Partitions(Sweeping):
    """The sweep of one backend process; several may run at once, the database's functions see to that."""

    def __init__(self, database: Database, *, retention_months: int) -> None:
        """`retention_months`: how many months of single requests are kept beside the present one."""
        super().__init__(
            name="partitions", every=SWEEP_SECONDS, again=RETRY_SECONDS, failure="partition maintenance failed", log=log
        )
        self._database = database
        self._retention_months = retention_months

    async def sweep_now(self) -> None:
        await self.sweep(datetime.now(UTC).date())

    async def sweep(self, today: date) -> None:
        """Create missing partitions, drop expired ones. Raises DatabaseUnavailable or asyncpg.PostgresError."""
        kept = kept_since(today, self._retention_months)
        last = month_from(today, MONTHS_AHEAD)
        async with self._database.connection() as connection:
            # Single statements, each its own transaction: the table is locked for one change at a time.
            for months in range(MONTHS_AHEAD + 1):
                await self._make(connection, month_from(today, months))
            strays = await connection.fetch(_MONTHS_OF_DEFAULT)
            for row in strays:
                if kept <= row["month"] <= last:
                    await self._make(connection, row["month"])
            for row in await connection.fetch("select drop_usage_before($1)", kept):
                log.info("usage partitions dropped", dropped=row[0], kept_since=kept.isoformat())
        STRAYS.set(sum(row["requests"] for row in strays if row["month"] > last))

    async def _make(self, connection: Connection, month: date) -> None:
        if await connection.fetchval("select make_usage_partition($1)", month):
            log.info("partition created", month=month.isoformat())
