"""All customers' projects, for operators: statements on the connection that they are given."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import asyncpg

from aldea.postgres import Connection

_SHOWN: Final = """
    select project_id::text, name, state, requests_per_minute, concurrent_streams, monthly_audio_seconds, created,
        array(
            select email from memberships join users using (user_id)
            where memberships.project_id = projects.project_id and role = 'owner' order by email
        ) as owners
    from projects where deleted is null
"""


async def page(
    connection: Connection, *, containing: str | None, state: str | None, before: str | None, limit: int
) -> list[asyncpg.Record]:
    """Projects, newest first, older than `before`; `containing`: in their name or an owner's address, or their id."""
    pattern = None if containing is None else f"%{_literal(containing)}%"
    return await connection.fetch(
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
        before,
        state,
        pattern,
        containing,
        limit,
    )


async def one(connection: Connection, project_id: str) -> asyncpg.Record | None:
    """One project."""
    return await connection.fetchrow(f"{_SHOWN} and project_id = $1", project_id)


async def lock(connection: Connection, project_id: str) -> asyncpg.Record | None:
    """A project's state and limits, locked for a change."""
    return await connection.fetchrow(
        """
        select state, requests_per_minute, concurrent_streams, monthly_audio_seconds
        from projects where project_id = $1 and deleted is null for no key update
        """,
        project_id,
    )


async def audio_ms_since(connection: Connection, project_ids: Sequence[str], day: date) -> dict[str, int]:
    """Billed audio of these projects since the beginning of this UTC day, milliseconds; those without are absent."""
    rows = await connection.fetch(
        """
        select project_id::text, sum(audio_ms)::bigint as audio_ms from usage_daily
        where project_id = any($1::uuid[]) and day >= $2 group by 1
        """,
        list(project_ids),
        day,
    )
    return {row["project_id"]: row["audio_ms"] for row in rows}


def _literal(text: str) -> str:
    """`text` for LIKE, with its wildcards escaped."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
