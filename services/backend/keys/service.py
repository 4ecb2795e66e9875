"""What can be done with API keys; each change is one transaction, then Redis, then the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
from aiohttp import web

from aldea import credentials
from aldea.postgres import Connection, Database
from backend.api.access import Caller, expand
from backend.api.endpoint import Actor
from backend.audit import repository as audit
from backend.changes import announce
from backend.keys import repository
from backend.keys.errors import ExpiryUnusable, KeyGone, ScopeTooWide, TooManyKeys
from backend.propagation import Propagation

# A list of keys is one answer; programs that need a credential per user take short-lived tokens.
MAX_KEYS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just created. `propagated`: whether Redis has it already."""

    key_id: str
    text: str
    comment: str
    scopes: list[str]
    tags: list[str]
    created: datetime
    expires: datetime | None
    propagated: bool = False
    old_expires: datetime | None = None


class KeyService:
    """API keys of projects."""

    def __init__(self, database: Database, propagation: Propagation) -> None:
        self._database = database
        self._propagation = propagation

    async def list(self, project_id: str, status: str | None) -> list[asyncpg.Record]:
        """The project's keys that were not revoked."""
        async with self._database.connection() as connection:
            return await repository.shown(connection, project_id, status)

    async def get(self, project_id: str, key_id: str) -> asyncpg.Record:
        """One key. Raises KeyGone."""
        async with self._database.connection() as connection:
            row = await repository.shown_one(connection, project_id, key_id)
        if row is None:
            raise _gone()
        return row

    async def create(
        self,
        caller: Caller,
        actor: Actor,
        project_id: str,
        *,
        comment: str,
        scopes: Sequence[str],
        tags: Sequence[str] = (),
        expires: datetime | None = None,
    ) -> NewKey:
        """A new key. Raises ScopeTooWide, TooManyKeys."""
        _check_scopes(caller, project_id, scopes)
        async with self._database.transaction() as connection:
            new = await create_key(
                connection,
                actor,
                project_id,
                caller.user_id,
                comment=comment,
                scopes=scopes,
                tags=tags,
                expires=expires,
            )
            entries = await repository.entries_of_key(connection, new.key_id)
        return replace(new, propagated=await self._propagation.committed(*entries))

    async def revoke(self, actor: Actor, project_id: str, key_id: str) -> bool:
        """Revoke a key; whether Redis knows already. Raises KeyGone."""
        async with self._database.transaction() as connection:
            comment = await repository.revoke(connection, project_id, key_id)
            if comment is None:
                raise _gone()
            await audit.record(connection, actor, "key.revoke", key_id, project_id=project_id, comment=comment)
            await announce(connection, "key", key_id)
            entries = await repository.entries_of_key(connection, key_id)
        return await self._propagation.committed(*entries)

    async def rotate(self, caller: Caller, actor: Actor, project_id: str, key_id: str, overlap_seconds: int) -> NewKey:
        """A new key like the old one, which stays good for the overlap. Raises KeyGone, ScopeTooWide, TooManyKeys."""
        async with self._database.transaction() as connection:
            old = await repository.lock(connection, project_id, key_id)
            if old is None:
                raise _gone()
            _check_scopes(caller, project_id, old["scopes"])
            new = await create_key(
                connection,
                actor,
                project_id,
                old["created_by"],
                comment=old["comment"],
                scopes=old["scopes"],
                tags=old["tags"],
                expires=old["expires"],
            )
            ends = await repository.replace(connection, key_id, new.key_id, overlap_seconds)
            await audit.record(
                connection, actor, "key.rotate", key_id, project_id=project_id, replaced_by=new.key_id, ends=ends
            )
            await announce(connection, "key", key_id)
            entries = [
                *await repository.entries_of_key(connection, new.key_id),
                *await repository.entries_of_key(connection, key_id),
            ]
        return replace(new, old_expires=ends, propagated=await self._propagation.committed(*entries))


async def create_key(
    connection: Connection,
    actor: Actor,
    project_id: str,
    user_id: str | None,
    *,
    comment: str,
    scopes: Sequence[str],
    tags: Sequence[str] = (),
    expires: datetime | None = None,
) -> NewKey:
    """A new key inside the caller's transaction, not yet in Redis. Raises TooManyKeys."""
    if await repository.count_good(connection, project_id) >= MAX_KEYS:
        raise TooManyKeys(f"The project has {MAX_KEYS} keys, as many as allowed. Revoke those not in use.")
    minted = credentials.mint_api_key()
    row = await repository.insert(
        connection,
        project_id=project_id,
        sha256=minted.sha256,
        last4=minted.last4,
        comment=comment,
        scopes=scopes,
        tags=tags,
        expires=expires,
        created_by=user_id,
    )
    key_id = row["key_id"]
    detail = {"comment": comment, "scopes": list(scopes), "expires": expires}
    await audit.record(connection, actor, "key.create", key_id, project_id=project_id, **detail)
    await announce(connection, "key", key_id)
    return NewKey(
        key_id=key_id,
        text=minted.text,
        comment=comment,
        scopes=list(scopes),
        tags=list(tags),
        created=row["created"],
        expires=expires,
    )


def expiry(expiration_date: datetime | None, time_to_live_in_seconds: int | None) -> datetime | None:
    """When a new key ends. Raises ExpiryUnusable."""
    if expiration_date is not None and time_to_live_in_seconds is not None:
        raise ExpiryUnusable("Got both expiration_date and time_to_live_in_seconds; give one of them.")
    if time_to_live_in_seconds is not None:
        return datetime.now(UTC) + timedelta(seconds=time_to_live_in_seconds)
    if expiration_date is not None and expiration_date <= datetime.now(UTC):
        raise ExpiryUnusable("expiration_date lies in the past; give a later one, or none.")
    return expiration_date


def _check_scopes(caller: Caller, project_id: str, scopes: Sequence[str]) -> None:
    own = caller.scopes_in(project_id) or frozenset()
    beyond = expand(scopes) - own
    if beyond:
        raise ScopeTooWide(
            f"A key can be given only what its creator may do; this credential lacks {', '.join(sorted(beyond))}."
        )


def _gone() -> KeyGone:
    return KeyGone("The project has no such API key, or it was revoked.")


KEYS: Final = web.AppKey("keys", KeyService)
