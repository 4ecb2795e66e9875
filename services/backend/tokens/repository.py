"""What sessions grant tokens by, and the tokens themselves: statements on the connection that they are given."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.redis.schema import CredentialRecord
from aldea.rows import Query
from aldea.turns import in_turns
from backend.replication.mirror import Entry, Token

# A missing record ends no stream, so it stays until every renewal after the end has seen it.
_KEPT_AFTER_END_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class GrantRow:
    """What a session grants tokens of a project by. `expires_ms`: Unix milliseconds."""

    sha256: str
    user_id: str
    project_id: str
    expires_ms: int
    revoked: bool
    revision: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A short-lived token, good for `ttl_ms` from now on. `fields`: JSON."""

    sha256: str
    fields: str
    ttl_ms: int


_GRANT: Final = """
    select sha256, user_id::text, project_id::text, (extract(epoch from expires) * 1000)::bigint as expires_ms,
        revoked is not null as revoked, revision
    from session_grants
"""
_OF_SESSION: Final = Query(GrantRow, f"{_GRANT} where session_sha256 = $1 and project_id = $2 and revoked is null")
_OF_PROJECT: Final = Query(GrantRow, f"{_GRANT} where project_id = $1 and expires > now()")
_OF_USER: Final = Query(GrantRow, f"{_GRANT} where user_id = $1 and expires > now()")
_OF_HASHES: Final = Query(GrantRow, f"{_GRANT} where sha256 = any($1::text[])")
_PAGE: Final = Query(
    GrantRow, f"{_GRANT} where expires > now() and ($1::text is null or sha256 > $1) order by sha256 limit $2"
)
_PAGE_OF_TOKENS: Final = Query(
    TokenRow,
    """
    select sha256, fields, (extract(epoch from expires - now()) * 1000)::bigint as ttl_ms from granted_tokens
    where expires > now() and ($1::text is null or sha256 > $1) order by sha256 limit $2
    """,
)


async def lock_session(connection: Connection, session_sha256: str) -> bool:
    """Whether a session is good now; if so it stays so until the end of the transaction."""
    found = await connection.fetchval(
        "select true from sessions where sha256 = $1 and ended is null and expires > now() for share", session_sha256
    )
    return bool(found)


async def project_state(connection: Connection, user_id: str, project_id: str) -> str | None:
    """The state of a project that the user is, and until the end of the transaction stays, a member of."""
    found = await connection.fetchval(
        """
        select state from memberships join projects using (project_id)
        where user_id = $1 and project_id = $2 and deleted is null for share of memberships
        """,
        user_id,
        project_id,
    )
    return None if found is None else str(found)


async def grantor(connection: Connection, session_sha256: str, user_id: str, project_id: str) -> Entry:
    """What a session grants tokens of a project by; made at the first."""
    await connection.execute(
        """
        insert into session_grants (sha256, session_sha256, user_id, project_id, expires)
        select $1, sha256, $3, $4, expires from sessions where sha256 = $2
        on conflict (session_sha256, project_id) where revoked is null do nothing
        """,
        secrets.token_hex(32),
        session_sha256,
        user_id,
        project_id,
    )
    return _entry(await _OF_SESSION.one(connection, session_sha256, project_id))


async def end(
    connection: Connection,
    user_id: str,
    *,
    project_id: str | None = None,
    session: str | None = None,
    but: str | None = None,
) -> None:
    """End what the user's sessions grant by, and so all their tokens.

    Of one project or all, of one session (its hash) or all `but` one.
    """
    await connection.execute(
        """
        update session_grants set revoked = now(), revision = nextval('revisions')
        where user_id = $1 and revoked is null and expires > now()
            and ($2::uuid is null or project_id = $2) and ($3::text is null or session_sha256 = $3)
            and session_sha256 is distinct from $4
        """,
        user_id,
        project_id,
        session,
        but,
    )


async def end_of_project(connection: Connection, project_id: str) -> None:
    """End what any session grants by in a project, and so all those tokens."""
    await connection.execute(
        """
        update session_grants set revoked = now(), revision = nextval('revisions')
        where project_id = $1 and revoked is null and expires > now()
        """,
        project_id,
    )


async def entries_of_project(connection: Connection, project_id: str) -> list[Entry]:
    """What Redis holds of what sessions grant by in a project."""
    return await _entries(await _OF_PROJECT.all(connection, project_id))


async def entries_of_user(connection: Connection, user_id: str) -> list[Entry]:
    """What Redis holds of what a user's sessions grant by."""
    return await _entries(await _OF_USER.all(connection, user_id))


async def entries_of_hashes(connection: Connection, hashes: Sequence[str]) -> list[Entry]:
    """What Redis holds of what sessions grant by, of these hashes."""
    return await _entries(await _OF_HASHES.all(connection, list(hashes)))


async def page_of_entries(connection: Connection, after: str | None, limit: int) -> tuple[list[Entry], str | None]:
    """A page of what Redis holds of them all, ended ones too, and where the next begins (None: the last)."""
    rows = await _PAGE.all(connection, after, limit)
    return await _entries(rows), (rows[-1].sha256 if len(rows) == limit else None)


async def insert_token(connection: Connection, token: Token) -> None:
    """Keep a short-lived token, for the day when Redis is emptied."""
    await connection.execute(
        "insert into granted_tokens (sha256, fields, expires) values ($1, $2, now() + $3 * interval '1 millisecond')",
        token.sha256,
        json.dumps(dict(token.fields)),
        token.ttl_ms,
    )


async def page_of_tokens(connection: Connection, after: str | None, limit: int) -> tuple[list[Token], str | None]:
    """A page of the short-lived tokens that have not expired, and where the next begins (None: this was the last)."""
    rows = await _PAGE_OF_TOKENS.all(connection, after, limit)
    tokens = [Token(row.sha256, json.loads(row.fields), row.ttl_ms) async for row in in_turns(rows)]
    return tokens, (rows[-1].sha256 if len(rows) == limit else None)


async def forget_expired_tokens(connection: Connection, limit: int) -> None:
    """Delete at most so many short-lived tokens that have expired."""
    await connection.execute(
        """
        delete from granted_tokens where sha256 in (
            select sha256 from granted_tokens where expires < now() limit $1 for update skip locked
        )
        """,
        limit,
    )


async def _entries(rows: Sequence[GrantRow]) -> list[Entry]:
    return [_entry(row) async for row in in_turns(rows)]


def _entry(row: GrantRow) -> Entry:
    record = CredentialRecord(
        kind="session",
        state="revoked" if row.revoked else "active",
        project_id=row.project_id,
        key_id=row.user_id,
        # It opens nothing itself.
        scopes=frozenset(),
        expires_ms=row.expires_ms,
    )
    return Entry.credential(row.sha256, row.revision, record, until_ms=row.expires_ms + _KEPT_AFTER_END_MS)
