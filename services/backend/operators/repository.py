"""All customers' projects, for operators: statements on the connection that they are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.projects.repository import Limited


@dataclass(frozen=True, slots=True)
class OperatedRow(Limited):
    """A project as operators see it; owners by their addresses."""

    project_id: str
    name: str
    created: datetime
    owners: list[str]


@dataclass(frozen=True, slots=True)
class Used:
    """What a project used."""

    project_id: str
    audio_ms: int


_SHOWN: Final = """
    select state, requests_per_minute, concurrent_streams, monthly_audio_seconds, project_id::text, name, created,
        array(
            select email from memberships join users using (user_id)
            where memberships.project_id = projects.project_id and role = 'owner' order by email
        ) as owners
    from projects where deleted is null
"""
_PAGE: Final = Query(
    OperatedRow,
    f"""
    {_SHOWN} and ($1::uuid is null or project_id < $1) and ($2::text is null or state = $2)
        and (
            $3::text is null or name ilike $3 or project_id::text = lower($4) or exists (
                select 1 from memberships join users using (user_id)
                where memberships.project_id = projects.project_id and role = 'owner' and email ilike $3
            )
        )
    order by project_id desc limit $5
    """,  # noqa: S608 - a constant
)
_ONE: Final = Query(OperatedRow, f"{_SHOWN} and project_id = $1")
_LOCK: Final = Query(
    Limited,
    """
    select state, requests_per_minute, concurrent_streams, monthly_audio_seconds
    from projects where project_id = $1 and deleted is null for no key update
    """,
)
_AUDIO_SINCE: Final = Query(
    Used,
    """
    select project_id::text, sum(audio_ms)::bigint as audio_ms from usage_daily
    where project_id = any($1::uuid[]) and day >= $2 group by 1
    """,
)


async def page(
    connection: Connection, *, containing: str | None, state: str | None, before: str | None, limit: int
) -> list[OperatedRow]:
    """Projects, newest first, older than `before`; `containing`: in their name or an owner's address, or their id."""
    pattern = None if containing is None else f"%{_literal(containing)}%"
    return await _PAGE.all(connection, before, state, pattern, containing, limit)


async def one(connection: Connection, project_id: str) -> OperatedRow | None:
    """One project."""
    return await _ONE.first(connection, project_id)


async def lock(connection: Connection, project_id: str) -> Limited | None:
    """A project's state and limits, locked for a change."""
    return await _LOCK.first(connection, project_id)


async def audio_ms_since(connection: Connection, project_ids: Sequence[str], day: date) -> dict[str, int]:
    """Billed audio of these projects since the beginning of this UTC day, milliseconds; those without are absent."""
    found = await _AUDIO_SINCE.all(connection, list(project_ids), day)
    return {used.project_id: used.audio_ms for used in found}


def _literal(text: str) -> str:
    """`text` for LIKE, with its wildcards escaped."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
