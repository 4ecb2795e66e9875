"""From a request's credential to its caller: looked up in PostgreSQL, remembered for seconds, forgotten on change."""

import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from aldea import credentials
from aldea.errors import InvalidAuth
from aldea.postgres import Connection, Database
from aldea.rows import Query
from backend.api.access import Caller, InProject, KeyCaller, Role, SessionCaller, expand, lent

# How long a caller is remembered. Changes clear the memory at once, here and (through NOTIFY) in every peer; this
# bounds what a peer that cannot listen may still believe.
REMEMBER_SECONDS: Final = 5.0
# A bound for the memory: some 500 bytes a caller.
MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key that is good now. `role`: of whom it counts as (`created_by`); `expires`: Unix seconds."""

    key_id: str
    project_id: str
    scopes: list[str]
    created_by: str | None
    role: Role | None
    expires: float | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that is good now, and its user's projects with their role in each. `expires`: Unix seconds."""

    user_id: str
    email: str
    name: str
    operator: bool
    expires: float
    project_ids: list[str]
    roles: list[Role]


_KEY: Final = Query(
    KeyRow,
    """
    select key_id::text, api_keys.project_id::text, scopes, created_by::text, role,
        extract(epoch from expires)::float8 as expires
    from api_keys join projects using (project_id)
        left join memberships on memberships.project_id = api_keys.project_id and user_id = created_by
    where sha256 = $1 and revoked is null and (expires is null or expires > now())
        and projects.state = 'active' and projects.deleted is null
    """,
)
_SESSION: Final = Query(
    SessionRow,
    """
    select user_id::text, email, name, operator, extract(epoch from expires)::float8 as expires,
        array(select project_id::text from memberships join projects using (project_id)
            where memberships.user_id = users.user_id and deleted is null order by project_id) as project_ids,
        array(select role from memberships join projects using (project_id)
            where memberships.user_id = users.user_id and deleted is null order by project_id) as roles
    from sessions join users using (user_id)
    where sha256 = $1 and ended is null and expires > now()
    """,
)


class Authenticator:
    """Finds callers. `used_keys`: key id → Unix seconds of its last use, until somebody writes them down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, tuple[float, Caller]] = {}
        self._generation = 0
        self.used_keys: dict[str, float] = {}

    def forget_all(self) -> None:
        """Something changed: look everybody up again. Cheaper to be sure than to be clever; changes are rare."""
        self._generation += 1
        self._remembered.clear()

    async def authenticate(self, request: web.BaseRequest, *, afresh: bool = False) -> tuple[Caller, bool]:
        """The caller of `request`, and whether they were remembered (never if `afresh`).

        Raises InvalidAuth: missing, unknown, revoked, expired all look the same. Raises DatabaseUnavailable.
        """
        sha256 = credentials.from_request(request).sha256
        now = time.time()
        remembered = None if afresh else self._recall(sha256, now)
        caller = remembered or await self._look_up(sha256, now)
        if isinstance(caller, KeyCaller):
            self.used_keys[caller.key_id] = now
        return caller, remembered is not None

    def _recall(self, sha256: str, now: float) -> Caller | None:
        found = self._remembered.get(sha256)
        if found is None:
            return None
        until, caller = found
        return caller if now < until else None

    async def _look_up(self, sha256: str, now: float) -> Caller:
        generation = self._generation
        async with self._database.connection() as connection:
            caller = await find_key(connection, sha256) or await find_session(connection, sha256)
        if caller is None:
            raise InvalidAuth
        # A caller that was read before a change must not be cached after it.
        if generation == self._generation:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            until = now + REMEMBER_SECONDS
            self._remembered[sha256] = (until if caller.expires is None else min(until, caller.expires), caller)
        return caller


async def find_key(connection: Connection, sha256: str) -> KeyCaller | None:
    """The caller with this API key, if it is good now."""
    row = await _KEY.first(connection, sha256)
    if row is None:
        return None
    return KeyCaller(
        sha256=sha256,
        key_id=row.key_id,
        project_id=row.project_id,
        scopes=expand(row.scopes) if row.created_by is None else lent(row.scopes, row.role),
        user_id=row.created_by,
        expires=row.expires,
    )


async def find_session(connection: Connection, sha256: str) -> SessionCaller | None:
    """The caller with this session, if it is good now."""
    row = await _SESSION.first(connection, sha256)
    if row is None:
        return None
    return SessionCaller(
        sha256=sha256,
        user_id=row.user_id,
        email=row.email,
        name=row.name,
        operator=row.operator,
        roles=dict(zip(row.project_ids, row.roles, strict=True)),
        expires=row.expires,
    )


async def still_allowed(connection: Connection, caller: Caller, project_id: str, scope: str) -> Caller:
    """The caller as they are now, seen inside the transaction of a change.

    A transaction that has locked the project sees every removal, demotion and revocation that came before it, whatever
    the caller was remembered by. Raises InvalidAuth, ProjectNotFound, InsufficientPermissions.
    """
    find = find_key if isinstance(caller, KeyCaller) else find_session
    if (found := await find(connection, caller.sha256)) is None:
        raise InvalidAuth
    InProject(scope).check_in(found, project_id)
    return found


AUTHENTICATOR: Final = web.AppKey("authenticator", Authenticator)
