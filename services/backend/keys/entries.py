"""What Redis holds of API keys, read from PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.redis.schema import CredentialRecord
from aldea.rows import Query
from aldea.turns import in_turns
from backend.api.access import expand
from backend.replication.mirror import Entry


@dataclass(frozen=True, slots=True)
class EntryRow:
    """What a key's record in Redis is made of. `expires_ms`: Unix milliseconds."""

    key_id: str
    project_id: str
    sha256: str
    scopes: list[str]
    tags: list[str]
    expires_ms: int | None
    revoked: bool
    revision: int


_ENTRY: Final = """
    select key_id::text, api_keys.project_id::text, sha256, scopes, tags,
        floor(extract(epoch from expires) * 1000)::bigint as expires_ms, revoked is not null as revoked, revision
    from api_keys
"""
_ENTRIES_OF_KEYS: Final = Query(EntryRow, f"{_ENTRY} where key_id = any($1::uuid[])")
_ENTRIES_OF_PROJECT: Final = Query(EntryRow, f"{_ENTRY} where project_id = $1")
_ENTRIES_OF_HASHES: Final = Query(EntryRow, f"{_ENTRY} where sha256 = any($1::text[])")
_PAGE_OF_ENTRIES: Final = Query(EntryRow, f"{_ENTRY} where $1::uuid is null or key_id > $1 order by key_id limit $2")


async def entries_of_key(connection: Connection, *key_ids: str) -> list[Entry]:
    """What Redis holds of these keys."""
    return await _entries(await _ENTRIES_OF_KEYS.all(connection, key_ids))


async def entries_of_project(connection: Connection, project_id: str) -> list[Entry]:
    """What Redis holds of a project's keys."""
    return await _entries(await _ENTRIES_OF_PROJECT.all(connection, project_id))


async def page_of_entries(connection: Connection, after: str | None, limit: int) -> tuple[list[Entry], str | None]:
    """A page of what Redis holds of all keys, revoked ones too, and where the next begins (None: the last)."""
    rows = await _PAGE_OF_ENTRIES.all(connection, after, limit)
    return await _entries(rows), (rows[-1].key_id if len(rows) == limit else None)


async def entries_of_hashes(connection: Connection, hashes: Sequence[str]) -> list[Entry]:
    """What Redis holds of the keys of these hashes."""
    return await _entries(await _ENTRIES_OF_HASHES.all(connection, list(hashes)))


async def _entries(rows: Sequence[EntryRow]) -> list[Entry]:
    return [_entry(row) async for row in in_turns(rows)]


def _entry(row: EntryRow) -> Entry:
    record = CredentialRecord(
        kind="key",
        state="revoked" if row.revoked else "active",
        project_id=row.project_id,
        key_id=row.key_id,
        scopes=expand(row.scopes),
        expires_ms=row.expires_ms,
        tags=tuple(row.tags),
    )
    return Entry.credential(row.sha256, row.revision, record)
