"""The accounts' tables: users, sessions, password resets; statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncpg import UniqueViolationError

from aldea.postgres import Connection
from aldea.rows import Query
from backend.api.access import Role
from backend.operators.models import ProjectState


@dataclass(frozen=True, slots=True)
class User:
    """Who can sign in."""

    user_id: str
    email: str
    name: str
    operator: bool
    password_hash: str


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """A project of a user's, and their role in it."""

    project_id: str
    name: str
    role: Role
    state: ProjectState


@dataclass(frozen=True, slots=True)
class ResetUser:
    """Whose password a reset sets."""

    user_id: str
    email: str
    name: str


_USER: Final = "select user_id::text, email, name, operator, password_hash from users"
_BY_EMAIL: Final = Query(User, f"{_USER} where email_key = $1")
_BY_ID: Final = Query(User, f"{_USER} where user_id = $1")
_LOCK: Final = Query(User, f"{_USER} where user_id = $1 for no key update")
_MEMBERSHIPS: Final = Query(
    MembershipRow,
    """
    select project_id::text, projects.name, role, state from memberships join projects using (project_id)
    where user_id = $1 and deleted is null order by project_id
    """,
)
_RESET_USER: Final = Query(
    ResetUser,
    """
    select user_id::text, email, name from password_resets join users using (user_id)
    where sha256 = $1 and used is null and expires > now()
    """,
)


def email_key(email: str) -> str:
    """What two spellings of an address have in common: case is ignored, as every mail provider does."""
    return email.strip().casefold()


async def insert_user(
    connection: Connection, *, email: str, name: str, password_hash: str, operator: bool = False
) -> str | None:
    """A new user's id, who then has a billing account too; None if the address has an account already."""
    found = await connection.fetchval(
        """
        with made as (
            insert into users (email, email_key, name, password_hash, operator) values ($1, $2, $3, $4, $5)
            on conflict (email_key) do nothing returning user_id
        ), paying as (
            insert into billing_accounts (owner_id) select user_id from made
        )
        select user_id::text from made
        """,
        email.strip(),
        email_key(email),
        name,
        password_hash,
        operator,
    )
    return None if found is None else str(found)


async def by_email(connection: Connection, email: str) -> User | None:
    """The user of an address."""
    return await _BY_EMAIL.first(connection, email_key(email))


async def by_id(connection: Connection, user_id: str) -> User:
    """A user who exists."""
    return await _BY_ID.one(connection, user_id)


async def lock(connection: Connection, user_id: str) -> User | None:
    """A user whose password, sessions and resets nobody else changes until the transaction ends.

    A change of several of them locks the user first, so that no two wait for each other.
    """
    return await _LOCK.first(connection, user_id)


async def set_password(connection: Connection, user_id: str, password_hash: str) -> None:
    """Give a user another password."""
    await connection.execute(
        "update users set password_hash = $2, password_changed = now() where user_id = $1", user_id, password_hash
    )


async def rename(connection: Connection, user_id: str, *, name: str | None, email: str | None) -> bool:
    """Give a user another name or address, each if given; False if the address has another account."""
    try:
        # In a transaction of its own: the caller's goes on without it.
        async with connection.transaction():
            await connection.execute(
                """
                update users set name = coalesce($2, name), email = coalesce($3, email),
                    email_key = coalesce($4, email_key)
                where user_id = $1
                """,
                user_id,
                name,
                None if email is None else email.strip(),
                None if email is None else email_key(email),
            )
    except UniqueViolationError:
        return False
    return True


async def forget(connection: Connection, user_id: str) -> None:
    """Remove from a user's row whatever says who they were; what they did and owe stays with its id.

    No address can be this key, and no password has this hash: nobody signs in with either.
    """
    await connection.execute(
        """
        update users set email = '', email_key = 'deleted ' || user_id, name = 'Deleted account', operator = false,
            password_hash = '', password_changed = now()
        where user_id = $1
        """,
        user_id,
    )


async def set_operator(connection: Connection, email: str, *, operator: bool) -> str | None:
    """Make the user of an address an operator, or withdraw that; their id, None if there is no such user."""
    found = await connection.fetchval(
        "update users set operator = $2 where email_key = $1 returning user_id::text", email_key(email), operator
    )
    return None if found is None else str(found)


async def memberships(connection: Connection, user_id: str) -> list[MembershipRow]:
    """A user's projects and roles, oldest first."""
    return await _MEMBERSHIPS.all(connection, user_id)


async def insert_session(connection: Connection, sha256: str, user_id: str, days: float) -> datetime:
    """A new session; when it ends by itself. Sessions of the user that ended long ago are removed."""
    await connection.execute(
        "delete from sessions where user_id = $1 and expires < now() - interval '30 days'", user_id
    )
    ends: datetime = await connection.fetchval(
        """
        insert into sessions (sha256, user_id, expires) values ($1, $2, now() + $3 * interval '1 day')
        returning expires
        """,
        sha256,
        user_id,
        days,
    )
    return ends


async def end_session(connection: Connection, sha256: str) -> str | None:
    """End one session; whose it was, None if there is none or it has ended."""
    found = await connection.fetchval(
        """
        update sessions set ended = now(), revision = nextval('revisions')
        where sha256 = $1 and ended is null returning user_id::text
        """,
        sha256,
    )
    return None if found is None else str(found)


async def end_sessions(connection: Connection, user_id: str, *, but: str | None = None) -> None:
    """End all sessions of a user, except the one with the hash `but`."""
    await connection.execute(
        """
        update sessions set ended = now(), revision = nextval('revisions')
        where user_id = $1 and ended is null and sha256 is distinct from $2
        """,
        user_id,
        but,
    )


async def insert_reset(connection: Connection, sha256: str, user_id: str, issued_by: str, hours: float) -> datetime:
    """A new password reset in place of all others of the user; when it expires."""
    await connection.execute("delete from password_resets where user_id = $1", user_id)
    expires: datetime = await connection.fetchval(
        """
        insert into password_resets (sha256, user_id, issued_by, expires)
        values ($1, $2, $3, now() + $4 * interval '1 hour') returning expires
        """,
        sha256,
        user_id,
        issued_by,
        hours,
    )
    return expires


async def reset_user(connection: Connection, sha256: str) -> ResetUser | None:
    """Whose reset this is, None if it is none, was used, or has expired."""
    return await _RESET_USER.first(connection, sha256)


async def void_resets(connection: Connection, user_id: str) -> None:
    """Make all unused resets of the user void."""
    await connection.execute("delete from password_resets where user_id = $1 and used is null", user_id)


async def use_reset(connection: Connection, sha256: str) -> str | None:
    """Use a reset up, once; whose it is, None if it is none or expired."""
    found = await connection.fetchval(
        """
        update password_resets set used = now()
        where sha256 = $1 and used is null and expires > now() returning user_id::text
        """,
        sha256,
    )
    return None if found is None else str(found)
