"""`python -m backend reconcile --day D`: recomputes a day's rollups from its requests and repairs them."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from aldea.postgres import Connection, Database
from aldea.rows import Query

SUMS: Final = ("requests", "audio_ms", "connection_ms", "bytes_in", "bytes_out", "charge_micros")

# While a transaction holds a rollup's row, no writer that moves it can commit; and what a writer committed, it
# committed in both tables. So the requests seen after the row was locked are exactly what the row has to say.
_KEY: Final = "project_id = $1 and day = $2 and key_id = $3 and service = $4 and endpoint = $5"
_ENSURE: Final = """
insert into usage_daily values ($1, $2, $3, $4, $5, 0, 0, 0, 0, 0, 0)
on conflict (project_id, day, key_id, service, endpoint) do nothing
"""
_LOCK: Final = f"select from usage_daily where {_KEY} for update"
_SET: Final = f"""
update usage_daily set (requests, audio_ms, connection_ms, bytes_in, bytes_out, charge_micros) = (
    select count(*), coalesce(sum(audio_ms), 0), coalesce(sum(connection_ms), 0), coalesce(sum(bytes_in), 0),
        coalesce(sum(bytes_out), 0), coalesce(sum(charge_micros), 0)
    from usage_requests where {_KEY})
where {_KEY}
"""  # noqa: S608 - constants
_REMOVE_EMPTY: Final = f"delete from usage_daily where {_KEY} and requests = 0"  # noqa: S608 - a constant


# A month that was dropped has totals and no requests: to recompute those would set them to nothing.
_KEPT: Final = """
select to_regclass('usage_requests_' || to_char($1::date, 'YYYYMM')) is not null
    or exists (select from usage_requests where day = $1) or not exists (select from usage_daily where day = $1)
"""


class RequestsGone(Exception):
    """The requests that a day's rollups could be recomputed from were dropped."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A rollup that differs from the sum of its requests; the sums in the order of `SUMS`."""

    project_id: UUID
    key_id: UUID
    service: str
    endpoint: str
    stored: list[int]
    recomputed: list[int]

    def __str__(self) -> str:
        sums = ", ".join(
            f"{name} {stored} → {recomputed}"
            for name, stored, recomputed in zip(SUMS, self.stored, self.recomputed, strict=True)
            if stored != recomputed
        )
        return f"project {self.project_id} key {self.key_id} {self.service} {self.endpoint}: {sums}"

    def to_object(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "project_id": str(self.project_id),
            "key_id": str(self.key_id),
            "service": self.service,
            "endpoint": self.endpoint,
            "stored": dict(zip(SUMS, self.stored, strict=True)),
            "recomputed": dict(zip(SUMS, self.recomputed, strict=True)),
        }


# One statement sees one snapshot, and every transaction moves requests and rollups together: also between running
# writers nothing may differ.
DIFFERENCES: Final = Query(
    Difference,
    """
    with truth as (
        select project_id, key_id, service, endpoint, count(*) as requests, sum(audio_ms)::bigint as audio_ms,
            sum(connection_ms)::bigint as connection_ms, sum(bytes_in)::bigint as bytes_in,
            sum(bytes_out)::bigint as bytes_out, sum(charge_micros)::bigint as charge_micros
        from usage_requests where day = $1
        group by project_id, key_id, service, endpoint
    ), rollup as (
        select project_id, key_id, service, endpoint, requests, audio_ms, connection_ms, bytes_in, bytes_out,
            charge_micros
        from usage_daily where day = $1
    )
    select project_id, key_id, service, endpoint,
        array[coalesce(rollup.requests, 0), coalesce(rollup.audio_ms, 0), coalesce(rollup.connection_ms, 0),
            coalesce(rollup.bytes_in, 0), coalesce(rollup.bytes_out, 0),
            coalesce(rollup.charge_micros, 0)] as stored,
        array[coalesce(truth.requests, 0), coalesce(truth.audio_ms, 0), coalesce(truth.connection_ms, 0),
            coalesce(truth.bytes_in, 0), coalesce(truth.bytes_out, 0),
            coalesce(truth.charge_micros, 0)] as recomputed
    from truth full join rollup using (project_id, key_id, service, endpoint)
    where truth is distinct from rollup
    order by project_id, key_id, service, endpoint
    """,
)


async def reconcile(database: Database, day: date, *, repair: bool = True) -> list[Difference]:
    """Set the rollups of a UTC day to the sums of its requests; returns what differed.

    Raises DatabaseUnavailable, or RequestsGone for a day whose requests are not kept any more.

    Each rollup is repaired in a transaction of its own that holds its row, so writers wait for one sum at a time and
    nothing that they count meanwhile is overwritten.
    """
    async with database.connection() as connection:
        if not await connection.fetchval(_KEPT, day):
            raise RequestsGone(
                f"day: got {day}, whose single requests are not kept any more; its totals stay as they are."
            )
        found = await DIFFERENCES.all(connection, day)
    if repair:
        for one in found:
            async with database.transaction() as connection:
                await _repair(connection, day, one)
    return found


async def _repair(connection: Connection, day: date, one: Difference) -> None:
    key = (one.project_id, day, one.key_id, one.service, one.endpoint)
    for statement in (_ENSURE, _LOCK, _SET, _REMOVE_EMPTY):
        await connection.execute(statement, *key)
