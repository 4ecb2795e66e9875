"""Operations on API keys. Each change is one transaction, then the write to Redis, then the response."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from aldea import credentials
from aldea.postgres import Connection, Database
from backend.api.access import Caller, KeyCaller, expand
from backend.api.authentication import still_allowed
from backend.api.endpoint import Actor
from backend.changes import Changes, UnitOfWork
from backend.keys import repository
from backend.keys.errors import ExpiryUnusable, KeyGone, LimitedCaller, ScopeTooWide, TooManyKeys
from backend.limits import repository as limited_by
from backend.limits.repository import UNLIMITED, Limits
from backend.limits.service import of_caller
from backend.projects import repository as projects

# A list of keys is one response; programs that need a credential per user take short-lived tokens.
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
    limits: Limits
    limited_as: str | None
    propagated: bool = False
    old_expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A key that was just revoked. `children`, `invites`: what it made, directly or not, and whether that ended too."""

    children: Sequence[repository.MadeKey]
    invites: Sequence[str]
    children_revoked: bool
    propagated: bool = False


class KeyService:
    """API keys of projects."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    async def list(self, project_id: str, status: str | None) -> list[repository.KeyRow]:
        """The project's keys that were not revoked."""
        async with self._database.connection() as connection:
            return await repository.shown(connection, project_id, status)

    async def get(
        self, project_id: str, key_id: str
    ) -> tuple[repository.KeyRow, Sequence[repository.MadeKey], Sequence[str]]:
        """One key, the keys that it made and the addresses that it invited. Raises KeyGone."""
        async with self._database.connection() as connection:
            row = await repository.shown_one(connection, project_id, key_id)
            if row is None:
                raise _gone()
            made = await repository.made_by(connection, project_id, key_id)
            family = [key_id, *(one.key_id for one in made)]
            invites = await repository.invites_made_by(connection, project_id, family)
        return row, made, invites

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
        limits: Limits = UNLIMITED,
    ) -> NewKey:
        """A new key; one that a key makes ends with it, and shares its limits if it has any.

        Raises ScopeTooWide, TooManyKeys, ExpiryUnusable, LimitedCaller.
        """
        async with self._changes.transaction(actor) as change:
            caller = await _locked(change.connection, caller, project_id)
            _check_scopes(caller, project_id, scopes)
            maker = caller.key_id if isinstance(caller, KeyCaller) else None
            if maker is not None:
                expires = end_of_child(expires, await repository.end_of(change.connection, maker))
            shared = await of_caller(change.connection, caller, project_id)
            if shared is not None and limits.any:
                raise LimitedCaller(
                    "A key that a limited API key makes shares its limits. Leave limits out, or sign in to set them."
                )
            new = await create_key(
                change,
                project_id,
                caller.user_id,
                comment=comment,
                scopes=scopes,
                tags=tags,
                expires=expires,
                made_by_key=maker,
                limits=limits if shared is None else shared.limits,
                limited_as=None if shared is None else shared.id,
            )
        return replace(new, propagated=change.propagated)

    async def revoke(
        self, caller: Caller, actor: Actor, project_id: str, key_id: str, *, children: bool = False
    ) -> Revoked:
        """Revoke a key, and with `children` what it made: then also where the key itself was revoked before.

        Raises KeyGone.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            await _locked(connection, caller, project_id)
            made = await repository.made_by(connection, project_id, key_id)
            family = [key_id, *(one.key_id for one in made)]
            await repository.lock_all(connection, family)
            found = await revoke_key(change, project_id, key_id)
            invites = await repository.invites_made_by(connection, project_id, family)
            if not found and not (children and (made or invites)):
                raise _gone()
            if children:
                for one in made:
                    await revoke_key(change, project_id, one.key_id, made_by=key_id)
                await repository.withdraw_made_by(connection, project_id, family)
                for email in invites:
                    change.unmirrored("invites", "invite.withdraw", email, project_id=project_id, made_by=key_id)
            change.repeat_keys(*family)
        return Revoked(children=made, invites=invites, children_revoked=children, propagated=change.propagated)

    async def rotate(self, caller: Caller, actor: Actor, project_id: str, key_id: str, overlap_seconds: int) -> NewKey:
        """A new key like the old one, which stays good for the overlap; if that is limited, both count together.

        Raises KeyGone, ScopeTooWide, TooManyKeys, LimitedCaller.

        The caller who rotates a key gets the new one's text: it counts as theirs, and ends with the key that they used.
        The successor of a key that rotates itself ends when that does and counts as made by it: whoever revokes a
        leaked key finds what its thief made with it.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            caller = await _locked(connection, caller, project_id)
            children = await repository.children(connection, project_id, key_id)
            await repository.lock_all(connection, [key_id, *children])
            old = await repository.good(connection, project_id, key_id)
            if old is None:
                raise _gone()
            _check_scopes(caller, project_id, old.scopes)
            limited = await limited_by.of_key(connection, project_id, key_id)
            assert limited is not None
            shared = await of_caller(connection, caller, project_id)
            if shared is not None and shared.id != limited.id:
                raise LimitedCaller(
                    "A limited API key can rotate only itself and keys that share its limits. Sign in for others."
                )
            maker, expires = old.made_by_key, old.expires
            if isinstance(caller, KeyCaller):
                maker = caller.key_id
                # Its own end it has already; with an overlap it ends sooner itself, and its successor need not.
                if maker != key_id:
                    ends = [end for end in (expires, await repository.end_of(connection, maker)) if end is not None]
                    expires = min(ends, default=None)
            new = await create_key(
                change,
                project_id,
                caller.user_id,
                comment=old.comment,
                scopes=old.scopes,
                tags=old.tags,
                expires=expires,
                made_by_key=maker,
                limits=limited.limits,
                limited_as=limited.id if limited.limits.any else None,
            )
            await repository.adopt(connection, key_id, new.key_id)
            old_expires = await repository.replace(connection, key_id, new.key_id, overlap_seconds)
            change.key(key_id, "key.rotate", project_id=project_id, replaced_by=new.key_id, ends=old_expires)
            # The invites of the old key count as the new one's, which the line of the rotation says.
            change.exempt("invites")
        return replace(new, old_expires=old_expires, propagated=change.propagated)


async def create_key(
    change: UnitOfWork,
    project_id: str,
    user_id: str | None,
    *,
    comment: str,
    scopes: Sequence[str],
    tags: Sequence[str] = (),
    expires: datetime | None = None,
    made_by_key: str | None = None,
    limits: Limits = UNLIMITED,
    limited_as: str | None = None,
) -> NewKey:
    """A new key inside the caller's transaction, not yet in Redis. Raises TooManyKeys.

    `limited_as`: the key whose limits these are, if they are another's.
    """
    if await repository.count_good(change.connection, project_id) >= MAX_KEYS:
        raise TooManyKeys(f"The project has {MAX_KEYS} keys, as many as allowed. Revoke those not in use.")
    minted = credentials.mint_api_key()
    row = await repository.insert(
        change.connection,
        project_id=project_id,
        sha256=minted.sha256,
        last4=minted.last4,
        comment=comment,
        scopes=scopes,
        tags=tags,
        expires=expires,
        created_by=user_id,
        made_by_key=made_by_key,
        limits=limits if limited_as is None else UNLIMITED,
        limited_as=limited_as,
    )
    detail = {"limits": {name: limit for name, limit in limits.to_dict().items() if limit is not None}}
    change.key(
        row.key_id,
        "key.create",
        project_id=project_id,
        comment=comment,
        scopes=list(scopes),
        expires=expires,
        **(detail if limits.any else {}),
    )
    return NewKey(
        key_id=row.key_id,
        text=minted.text,
        comment=comment,
        scopes=list(scopes),
        tags=list(tags),
        created=row.created,
        expires=expires,
        limits=limits,
        limited_as=limited_as,
    )


async def revoke_key(change: UnitOfWork, project_id: str, key_id: str, **detail: str) -> bool:
    """Revoke a key inside the caller's transaction, which has locked the project; False: there is none to revoke.

    `detail`: for the audit log.
    """
    comment = await repository.revoke(change.connection, project_id, key_id)
    if comment is None:
        return False
    change.key(key_id, "key.revoke", project_id=project_id, comment=comment, **detail)
    return True


def end_of_child(requested: datetime | None, maker_ends: datetime | None) -> datetime | None:
    """When a key ends that a key makes: as requested, but with its maker at the latest. Raises ExpiryUnusable."""
    if maker_ends is None or requested is None:
        return requested or maker_ends
    if requested > maker_ends:
        raise ExpiryUnusable(
            f"Got an expiry of {_shown(requested)}, but the API key that makes this one ends at {_shown(maker_ends)}, "
            "and no key outlives its maker. Give that time or an earlier one, or none; or sign in to make it."
        )
    return requested


def expiry(expiration_date: datetime | None, time_to_live_in_seconds: int | None) -> datetime | None:
    """When a new key ends. Raises ExpiryUnusable."""
    if expiration_date is not None and time_to_live_in_seconds is not None:
        raise ExpiryUnusable("Got both expiration_date and time_to_live_in_seconds; give one of them.")
    if time_to_live_in_seconds is not None:
        return datetime.now(UTC) + timedelta(seconds=time_to_live_in_seconds)
    if expiration_date is not None and expiration_date <= datetime.now(UTC):
        raise ExpiryUnusable("expiration_date lies in the past; give a later one, or none.")
    return expiration_date


async def _locked(connection: Connection, caller: Caller, project_id: str) -> Caller:
    """The caller as they are now; no other change of the project's keys and members happens beside this transaction."""
    await projects.lock(connection, project_id)
    return await still_allowed(connection, caller, project_id, "keys:write")


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
