"""What Redis holds of API keys, read from PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aldea.postgres import Connection
from aldea.redis.schema import CredentialRecord
from aldea.rows import Query
from aldea.turns import in_turns
from backend.api.access import expand
from backend.limits.mirrored import record_of_limits
from backend.replication.mirror import Entry


@dataclass(frozen=True, slots=True)
class EntryRow:
    """What a key's record in Redis is made of. `expires_ms`: Unix milliseconds; `counted_as`: whose limits hold."""

    key_id: str
    project_id: str
    sha256: str
    scopes: list[str]
    tags: list[str]
    expires_ms: int | None
    revoked: bool
    revision: int
    counted_as: str
    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None
    monthly_budget_micros: int | None


_ENTRY: Final = """
    select api_keys.key_id::text, api_keys.project_id::text, api_keys.sha256, api_keys.scopes, api_keys.tags,
        floor(extract(epoch from api_keys.expires) * 1000)::bigint as expires_ms,
        api_keys.revoked is not null as revoked, api_keys.revision, limited.key_id::text as counted_as,
        limited.requests_per_minute, limited.concurrent_streams, limited.monthly_audio_seconds,
        limited.monthly_budget_micros
    from api_keys join api_keys as limited on limited.key_id = coalesce(api_keys.limited_as, api_keys.key_id)
"""
_ENTRIES_OF_KEYS: Final = Query(EntryRow, f"{_ENTRY} where api_keys.key_id = any($1::uuid[])")
_ENTRIES_OF_PROJECT: Final = Query(EntryRow, f"{_ENTRY} where api_keys.project_id = $1")
_ENTRIES_OF_HASHES: Final = Query(EntryRow, f"{_ENTRY} where api_keys.sha256 = any($1::text[])")
_PAGE_OF_ENTRIES: Final = Query(
    EntryRow, f"{_ENTRY} where $1::uuid is null or api_keys.key_id > $1 order by api_keys.key_id limit $2"
)


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
        limits=record_of_limits(
            row.counted_as,
            requests_per_minute=row.requests_per_minute,
            concurrent_streams=row.concurrent_streams,
            monthly_audio_seconds=row.monthly_audio_seconds,
            monthly_budget_micros=row.monthly_budget_micros,
        ),
    )
    return Entry.credential(row.sha256, row.revision, record)
