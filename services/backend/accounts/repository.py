"""The accounts' tables: users, sessions, password resets; statements on the connection that they are given."""

import asyncpg

from aldea.postgres import Connection


def email_key(email: str) -> str:
    """What two spellings of an address have in common: case is ignored, as every mail provider does."""
    return email.strip().casefold()


async def insert_user(
    connection: Connection, *, email: str, name: str, password_hash: str, operator: bool = False
) -> str | None:
    """A new user's id; None if the address has an account already."""
    found = await connection.fetchval(
        """
        insert into users (email, email_key, name, password_hash, operator) values ($1, $2, $3, $4, $5)
        on conflict (email_key) do nothing returning user_id::text
        """,
        email.strip(),
        email_key(email),
        name,
        password_hash,
        operator,
    )
    return None if found is None else str(found)


async def by_email(connection: Connection, email: str) -> asyncpg.Record | None:
    """The user of an address."""
    return await connection.fetchrow(
        "select user_id::text, email, name, operator, password_hash from users where email_key = $1", email_key(email)
    )
