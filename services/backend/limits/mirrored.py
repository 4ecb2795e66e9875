"""What Redis holds of limits, and what is used of a month's: read from PostgreSQL."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aldea.postgres import Connection
from aldea.redis.schema import Limits
from aldea.rows import Query
from aldea.turns import in_turns
from backend.replication.mirror import Spent


@dataclass(frozen=True, slots=True)
class Used:
    """What a key, a project or an account that is limited by month has used of the present one."""

    subject_id: str
    month: datetime
    audio_ms: int
    charge_micros: int


# A project's audio is in a counter of its own, of all projects.
_USED: Final = Query(
    Used,
    """
    select subject_id::text, date_trunc('month', now() at time zone 'utc') as month,
        case subject when 'project' then 0 else audio_ms end as audio_ms, charge_micros
    from monthly_limits where subject <> 'project' or budget_micros is not null
    """,
)
# Every project that has used anything, whether it is limited or not.
_USED_BY_PROJECTS: Final = Query(
    Used,
    """
    select project_id::text as subject_id, date_trunc('month', now() at time zone 'utc') as month,
        sum(audio_ms)::bigint as audio_ms, sum(charge_micros)::bigint as charge_micros
    from usage_daily where day >= date_trunc('month', now() at time zone 'utc')::date group by project_id
    """,
)


def record_of_limits(
    counted_as: str,
    *,
    requests_per_minute: int | None,
    concurrent_streams: int | None,
    monthly_audio_seconds: int | None,
    monthly_budget_micros: int | None,
) -> Limits:
    """A row's limits as admission reads them."""
    return Limits(
        counted_as=counted_as,
        requests_per_minute=requests_per_minute,
        concurrent_streams=concurrent_streams,
        monthly_audio_ms=None if monthly_audio_seconds is None else monthly_audio_seconds * 1000,
        monthly_budget_micros=monthly_budget_micros,
    )


async def spent_in_month(connection: Connection) -> dict[str, Spent]:
    """What everything that is limited by month has used of the present UTC month, as the mirror names it."""
    return {
        f"{row.subject_id}:{row.month:%Y%m}": Spent(row.charge_micros, audio_ms=row.audio_ms)
        async for row in in_turns(await _USED.all(connection))
    }


async def used_by_projects(connection: Connection) -> dict[str, Spent]:
    """What each project has used of the present UTC month, with the audio that is counted apart."""
    return {
        f"{row.subject_id}:{row.month:%Y%m}": Spent(row.charge_micros, audio_ms=row.audio_ms, apart=True)
        async for row in in_turns(await _USED_BY_PROJECTS.all(connection))
    }


def this_month() -> datetime:
    """The first moment of the present UTC month."""
    return datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
