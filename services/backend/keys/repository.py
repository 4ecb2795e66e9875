"""The API keys' table: statements on the connection that they are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.limits.repository import Limits


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as its project sees it, and whose it counts as (None: nobody's).

    `limited_as`: the key whose limits hold for it and with which it is counted; None: its own.
    """

    key_id: str
    comment: str
    scopes: list[str]
    tags: list[str]
    created: datetime
    expires: datetime | None
    last4: str
    last_used: datetime | None
    made_by_key: str | None
    user_id: str | None
    email: str | None
    user_name: str | None
    limited_as: str | None = None
    requests_per_minute: int | None = None
    concurrent_streams: int | None = None
    monthly_audio_seconds: int | None = None
    monthly_budget_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Inserted:
    """A key that was just made."""

    key_id: str
    created: datetime


@dataclass(frozen=True, slots=True)
class GoodKey:
    """What a key's successor takes over."""

    comment: str
    scopes: list[str]
    tags: list[str]
    expires: datetime | None
    made_by_key: str | None


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key that another key made."""

    key_id: str
    comment: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class MembersKey:
    """A key that counts as a member's."""

    key_id: str
    comment: str
    scopes: list[str]


_GOOD: Final = "revoked is null and (expires is null or expires > now())"
# What a key transcribed last is in the usage rows, found by an index; nobody writes it down a second time.
_SHOWN: Final = """
    select api_keys.key_id::text, api_keys.comment, api_keys.scopes, api_keys.tags, api_keys.created, api_keys.expires,
        api_keys.last4, greatest(api_keys.last_used, (
            select to_timestamp(max(started_ms) / 1000.0) from usage_requests
            where usage_requests.project_id = api_keys.project_id and usage_requests.key_id = api_keys.key_id
        )) as last_used,
        api_keys.made_by_key::text, users.user_id::text, users.email, users.name as user_name,
        api_keys.limited_as::text, limited.requests_per_minute, limited.concurrent_streams,
        limited.monthly_audio_seconds, limited.monthly_budget_micros
    from api_keys join api_keys as limited on limited.key_id = coalesce(api_keys.limited_as, api_keys.key_id)
    left join users on users.user_id = api_keys.created_by
    where api_keys.project_id = $1 and api_keys.revoked is null
"""
_KEYS: Final = Query(
    KeyRow,
    f"""
    {_SHOWN} and ($2::text is null or ($2 = 'expired') = coalesce(api_keys.expires <= now(), false))
    order by api_keys.key_id
    """,
)
_KEY: Final = Query(KeyRow, f"{_SHOWN} and api_keys.key_id = $2")
_INSERT: Final = Query(
    Inserted,
    """
    insert into api_keys (
        project_id, sha256, last4, comment, scopes, tags, expires, created_by, made_by_key, limited_as,
        requests_per_minute, concurrent_streams, monthly_audio_seconds, monthly_budget_micros)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) returning key_id::text, created
    """,
)
_GOOD_KEY: Final = Query(
    GoodKey,
    f"""
    select comment, scopes, tags, expires, made_by_key::text from api_keys
    where project_id = $1 and key_id = $2 and {_GOOD}
    """,  # noqa: S608 - a constant
)
_MADE_BY: Final = Query(
    MadeKey,
    f"""
    with recursive made (key_id) as (
        select key_id from api_keys where made_by_key = $2
        union select api_keys.key_id from api_keys join made on made_by_key = made.key_id
    )
    select key_id::text, comment, expires from api_keys join made using (key_id)
    where project_id = $1 and key_id <> $2 and {_GOOD}
    order by key_id
    """,  # noqa: S608 - a constant
)
_OF_MEMBER: Final = Query(
    MembersKey,
    f"""
    select key_id::text, comment, scopes from api_keys
    where project_id = $1 and created_by = $2 and {_GOOD}
    order by key_id
    """,  # noqa: S608 - a constant
)


async def insert(
    connection: Connection,
    *,
    project_id: str,
    sha256: str,
    last4: str,
    comment: str,
    scopes: Sequence[str],
    tags: Sequence[str],
    expires: datetime | None,
    created_by: str | None,
    made_by_key: str | None,
    limits: Limits,
    limited_as: str | None,
) -> Inserted:
    """A new key. `made_by_key`: the key that it was made with, if it was one; `limited_as`: whose limits hold."""
    return await _INSERT.one(
        connection,
        project_id,
        sha256,
        last4,
        comment,
        list(scopes),
        list(tags),
        expires,
        created_by,
        made_by_key,
        limited_as,
        *limits.to_dict().values(),
    )


async def count_good(connection: Connection, project_id: str) -> int:
    """How many keys of the project are neither revoked nor expired. Locks the project, so that creations queue."""
    await connection.execute("select 1 from projects where project_id = $1 for no key update", project_id)
    return int(
        await connection.fetchval(
            f"select count(*) from api_keys where project_id = $1 and {_GOOD}",  # noqa: S608 - a constant
            project_id,
        )
    )


async def has_good_with_comment(connection: Connection, project_id: str, comment: str) -> bool:
    """Whether the project has a key with this comment that is neither revoked nor expired."""
    return bool(
        await connection.fetchval(
            f"select exists (select 1 from api_keys where project_id = $1 and comment = $2 and {_GOOD})",  # noqa: S608
            project_id,
            comment,
        )
    )


async def shown(connection: Connection, project_id: str, status: str | None) -> list[KeyRow]:
    """The project's keys that were not revoked, oldest first. `status`: active, expired, or None for both."""
    return await _KEYS.all(connection, project_id, status)


async def shown_one(connection: Connection, project_id: str, key_id: str) -> KeyRow | None:
    """One key of the project that was not revoked."""
    return await _KEY.first(connection, project_id, key_id)


async def lock_all(connection: Connection, key_ids: Sequence[str]) -> None:
    """Lock keys for changes, in the order in which `note_use` does, so that the two cannot deadlock."""
    await connection.execute(
        "select 1 from api_keys where key_id = any($1::uuid[]) order by key_id for no key update", key_ids
    )


async def children(connection: Connection, project_id: str, key_id: str) -> list[str]:
    """The keys that a key made itself, whatever became of them."""
    rows = await connection.fetch(
        "select key_id::text from api_keys where project_id = $1 and made_by_key = $2", project_id, key_id
    )
    return [row["key_id"] for row in rows]


async def good(connection: Connection, project_id: str, key_id: str) -> GoodKey | None:
    """One key of the project, if it is good now."""
    return await _GOOD_KEY.first(connection, project_id, key_id)


async def revoke(connection: Connection, project_id: str, key_id: str) -> str | None:
    """Revoke a key; its comment, None if there is none, or it was revoked before."""
    comment = await connection.fetchval(
        """
        update api_keys set revoked = now(), revision = nextval('revisions')
        where project_id = $1 and key_id = $2 and revoked is null returning comment
        """,
        project_id,
        key_id,
    )
    return None if comment is None else str(comment)


async def revoke_all(connection: Connection, project_id: str) -> None:
    """Revoke every key of a project, locked in the order of `lock_all`."""
    await connection.execute(
        """
        with locked as (
            select key_id from api_keys where project_id = $1 and revoked is null order by key_id for no key update)
        update api_keys set revoked = now(), revision = nextval('revisions')
        from locked where locked.key_id = api_keys.key_id
        """,
        project_id,
    )


async def end_of(connection: Connection, key_id: str) -> datetime | None:
    """When a key ends; None: never."""
    ends: datetime | None = await connection.fetchval("select expires from api_keys where key_id = $1", key_id)
    return ends


async def made_by(connection: Connection, project_id: str, key_id: str) -> list[MadeKey]:
    """The good keys that a key made, that those made, and so on, whether or not those between are still good."""
    return await _MADE_BY.all(connection, project_id, key_id)


async def invites_made_by(connection: Connection, project_id: str, key_ids: Sequence[str]) -> list[str]:
    """The addresses of the project's open invites that keys made."""
    rows = await connection.fetch(
        """
        select email from invites
        where project_id = $1 and made_by_key = any($2::uuid[]) and expires > now() order by email
        """,
        project_id,
        key_ids,
    )
    return [row["email"] for row in rows]


async def withdraw_made_by(connection: Connection, project_id: str, key_ids: Sequence[str]) -> None:
    """Withdraw the project's invites that keys made."""
    await connection.execute(
        "delete from invites where project_id = $1 and made_by_key = any($2::uuid[])", project_id, key_ids
    )


async def adopt(connection: Connection, key_id: str, new_key_id: str) -> None:
    """Let what a key made count as made by the key that takes its place."""
    await connection.execute(
        "update api_keys set made_by_key = $2 where made_by_key = $1 and key_id <> $2", key_id, new_key_id
    )
    await connection.execute("update invites set made_by_key = $2 where made_by_key = $1", key_id, new_key_id)


async def of_member(connection: Connection, project_id: str, user_id: str) -> list[MembersKey]:
    """The good keys that count as a member's."""
    return await _OF_MEMBER.all(connection, project_id, user_id)


async def hand_over(connection: Connection, key_id: str, user_id: str, scopes: Sequence[str]) -> None:
    """Let a key count as somebody else's from now on, and do no more than `scopes`."""
    await connection.execute(
        "update api_keys set created_by = $2, scopes = $3, revision = nextval('revisions') where key_id = $1",
        key_id,
        user_id,
        list(scopes),
    )


async def replace(connection: Connection, key_id: str, new_key_id: str, overlap_seconds: int) -> datetime:
    """Let a key end after the overlap (or at its own end, if that comes first), replaced by another; when it ends."""
    ends: datetime = await connection.fetchval(
        """
        update api_keys set expires = least(expires, now() + $3 * interval '1 second'), replaced_by = $2,
            revision = nextval('revisions')
        where key_id = $1 returning expires
        """,
        key_id,
        new_key_id,
        overlap_seconds,
    )
    return ends


async def note_use(connection: Connection, used: Mapping[str, float]) -> None:
    """Raise the keys' last use to these Unix seconds. Sorted, so that peers who do the same cannot deadlock."""
    ordered = sorted(used.items())
    await connection.execute(
        """
        with used as (select * from unnest($1::uuid[], $2::float8[]) as used (key_id, at) order by key_id),
        locked as (select api_keys.key_id, at from api_keys join used using (key_id) order by key_id for no key update)
        update api_keys set last_used = greatest(last_used, to_timestamp(at))
        from locked where locked.key_id = api_keys.key_id
        """,
        [key_id for key_id, _ in ordered],
        [at for _, at in ordered],
    )
