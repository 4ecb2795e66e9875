"""The credits' table, which is only ever added to: statements on the connection that they are given."""

from typing import Final

import asyncpg

from aldea.postgres import Connection

_COLUMNS: Final = "credit_id::text, project_id::text, amount_micros, note, created"


async def insert(
    connection: Connection, project_id: str, amount_micros: int, note: str, credit_id: str | None = None
) -> asyncpg.Record | None:
    """Credit a project with millionths of a US dollar, less than zero to take some back; None if the id is taken."""
    return await connection.fetchrow(
        f"""
        insert into credits (credit_id, project_id, amount_micros, note) values (coalesce($4, uuidv7()), $1, $2, $3)
        on conflict (credit_id) do nothing
        returning {_COLUMNS}
        """,  # noqa: S608 - a constant
        project_id,
        amount_micros,
        note,
        credit_id,
    )


async def by_id(connection: Connection, credit_id: str) -> asyncpg.Record | None:
    """One credit, of whichever project."""
    return await connection.fetchrow(
        f"select {_COLUMNS} from credits where credit_id = $1",  # noqa: S608 - a constant
        credit_id,
    )


async def newest(connection: Connection, project_id: str, limit: int) -> list[asyncpg.Record]:
    """A project's credits, newest first."""
    return await connection.fetch(
        f"select {_COLUMNS} from credits where project_id = $1 order by created desc, credit_id desc limit $2",  # noqa: S608 - a constant
        project_id,
        limit,
    )
