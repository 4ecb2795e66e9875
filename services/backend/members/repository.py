"""The tables of members and invites: statements on the connection that they are given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.accounts.repository import email_key
from backend.api.access import Role


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member of a project."""

    user_id: str
    email: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite that can still be accepted."""

    email: str
    role: Role
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom an invite is for, and as what."""

    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class UsedInvite:
    """An invite that was just used up. `invited_by`: None if that is not known. `inviters_role`: what they are now."""

    role: Role
    invited_by: str | None
    inviters_role: Role | None


_MEMBER: Final = """
    select user_id::text, email, users.name, role from memberships join users using (user_id)
    where project_id = $1
"""
_MEMBERS: Final = Query(MemberRow, f"{_MEMBER} order by memberships.created, user_id")
_ONE_MEMBER: Final = Query(MemberRow, f"{_MEMBER} and user_id = $2")
_INVITES: Final = Query(
    InviteRow,
    """
    select email, role, created, expires from invites
    where project_id = $1 and expires > now() order by created, email_key
    """,
)
_INVITE: Final = Query(Invited, "select email, role from invites where project_id = $1 and email_key = $2")
_USE_INVITE: Final = Query(
    UsedInvite,
    """
    with used as (
        delete from invites where sha256 = $1 and email_key = $2 and expires > now()
        returning project_id, role, invited_by)
    select used.role, invited_by::text, memberships.role as inviters_role
    from used left join memberships on memberships.project_id = used.project_id and user_id = invited_by
    """,
)


async def members(connection: Connection, project_id: str) -> list[MemberRow]:
    """The members, in the order in which they joined."""
    return await _MEMBERS.all(connection, project_id)


async def member(connection: Connection, project_id: str, user_id: str) -> MemberRow | None:
    """One member."""
    return await _ONE_MEMBER.first(connection, project_id, user_id)


async def owners(connection: Connection, project_id: str) -> int:
    """How many owners the project has."""
    return int(
        await connection.fetchval(
            "select count(*) from memberships where project_id = $1 and role = 'owner'", project_id
        )
    )


async def count(connection: Connection, project_id: str) -> int:
    """How many members and open invites the project has."""
    return int(
        await connection.fetchval(
            """
            select (select count(*) from memberships where project_id = $1)
                + (select count(*) from invites where project_id = $1 and expires > now())
            """,
            project_id,
        )
    )


async def is_member(connection: Connection, project_id: str, email: str) -> bool:
    """Whether somebody with this address is a member."""
    found = await connection.fetchval(
        "select true from memberships join users using (user_id) where project_id = $1 and email_key = $2",
        project_id,
        email_key(email),
    )
    return bool(found)


async def set_role(connection: Connection, project_id: str, user_id: str, role: str) -> None:
    """Give a member another role."""
    await connection.execute(
        "update memberships set role = $3 where project_id = $1 and user_id = $2", project_id, user_id, role
    )


async def remove(connection: Connection, project_id: str, user_id: str) -> None:
    """Remove a member."""
    await connection.execute("delete from memberships where project_id = $1 and user_id = $2", project_id, user_id)


async def insert(connection: Connection, project_id: str, user_id: str, role: str) -> bool:
    """Make somebody a member; False if they are one already."""
    found = await connection.fetchval(
        """
        insert into memberships (project_id, user_id, role) values ($1, $2, $3) on conflict do nothing returning true
        """,
        project_id,
        user_id,
        role,
    )
    return bool(found)


async def invites(connection: Connection, project_id: str) -> list[InviteRow]:
    """The invites that can still be accepted, oldest first."""
    return await _INVITES.all(connection, project_id)


async def put_invite(
    connection: Connection,
    project_id: str,
    *,
    email: str,
    role: str,
    sha256: str,
    days: float,
    invited_by: str | None = None,
    made_by_key: str | None = None,
) -> datetime:
    """An invite in place of any other of the same address; when it expires, which is not after the key that made it.

    `invited_by`: the member who is responsible for it, also where they made it by a key of theirs.
    """
    expires: datetime = await connection.fetchval(
        """
        insert into invites (project_id, email_key, email, role, sha256, expires, invited_by, made_by_key)
        values ($1, $2, $3, $4, $5,
            least(now() + $6 * interval '1 day', (select expires from api_keys where key_id = $8)), $7, $8)
        on conflict (project_id, email_key) do update
        set email = excluded.email, role = excluded.role, sha256 = excluded.sha256, created = now(),
            expires = excluded.expires, invited_by = excluded.invited_by, made_by_key = excluded.made_by_key
        returning expires
        """,
        project_id,
        email_key(email),
        email.strip(),
        role,
        sha256,
        days,
        invited_by,
        made_by_key,
    )
    return expires


async def invite(connection: Connection, project_id: str, email: str) -> Invited | None:
    """The invite of an address."""
    return await _INVITE.first(connection, project_id, email_key(email))


async def remove_invite(connection: Connection, project_id: str, email: str) -> None:
    """Withdraw the invite of an address."""
    await connection.execute(
        "delete from invites where project_id = $1 and email_key = $2", project_id, email_key(email)
    )


async def project_of_invite(connection: Connection, sha256: str, email: str) -> str | None:
    """Where the invite with this hash leads, if it is this address's."""
    found = await connection.fetchval(
        "select project_id::text from invites where sha256 = $1 and email_key = $2", sha256, email_key(email)
    )
    return None if found is None else str(found)


async def use_invite(connection: Connection, sha256: str, email: str) -> UsedInvite | None:
    """Use an invite up, once; None if it is none, expired, or for another address."""
    return await _USE_INVITE.first(connection, sha256, email_key(email))


async def remove_invites_by(connection: Connection, project_id: str, user_id: str) -> list[str]:
    """Withdraw the invites that somebody made, themselves or by a key; their addresses."""
    rows = await connection.fetch(
        "delete from invites where project_id = $1 and invited_by = $2 returning email", project_id, user_id
    )
    return sorted(row["email"] for row in rows)


async def oldest_owner(connection: Connection, project_id: str, *, but: str) -> str | None:
    """The owner who joined first, leaving out one user."""
    found = await connection.fetchval(
        """
        select user_id::text from memberships where project_id = $1 and role = 'owner' and user_id <> $2
        order by created, user_id limit 1
        """,
        project_id,
        but,
    )
    return None if found is None else str(found)
