"""Granting short-lived tokens: checked in Redis, kept in PostgreSQL too, and no longer good than what granted them."""

import time
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from aldea import credentials
from aldea.errors import ServiceUnavailable
from aldea.postgres import Database
from aldea.redis.errors import RedisUnavailable
from aldea.redis.schema import TRANSCRIBE_SCOPE, CredentialRecord
from backend.api.access import Caller, KeyCaller, SessionCaller
from backend.api.endpoint import SYSTEM
from backend.api.throttle import Rule, Throttle
from backend.changes import Changes
from backend.replication.mirror import Entry, Mirror, Token
from backend.tokens import repository
from backend.tokens.errors import CallerEnded, ForeignProject, MayNotTranscribe, ProjectNeeded

# Of one key or session: fifty a second. Each token takes some 300 bytes of Redis for up to an hour.
GRANTS: Final = Rule("grant", 3000, 60)


class TokenService:
    """Short-lived tokens for transcription."""

    def __init__(self, database: Database, changes: Changes, mirror: Mirror, throttle: Throttle) -> None:
        self._database = database
        self._changes = changes
        self._mirror = mirror
        self._throttle = throttle

    async def count(self, caller: Caller) -> Mapping[str, str]:
        """Count one grant of the caller's; the headers of its rate limits. Raises TooManyRequests."""
        return await self._throttle.take(GRANTS.of(caller.sha256))

    async def grant(self, caller: Caller, project_id: str | None, ttl_seconds: float) -> tuple[str, float]:
        """A token and for how many seconds it is good. It is in Redis before it is returned.

        Raises ProjectNeeded, ForeignProject, MayNotTranscribe, CallerEnded, ServiceUnavailable.
        """
        parent: Entry | None = None
        if isinstance(caller, KeyCaller):
            if project_id not in (None, caller.project_id):
                raise _foreign()
            project_id, booked_on, authority = caller.project_id, caller.key_id, caller.sha256
        else:
            if project_id is None:
                raise ProjectNeeded("project_id is missing: a session must say in which project to transcribe.")
            parent = await self._grantor(caller, project_id)
            booked_on, authority = caller.user_id, parent.name.removeprefix("cred:")
        if TRANSCRIBE_SCOPE not in (caller.scopes_in(project_id) or ()):
            raise MayNotTranscribe(
                f"This credential lacks the scope {TRANSCRIBE_SCOPE}, so it cannot hand it on. Use a key that has it."
            )
        ttl_ms = round(ttl_seconds * 1000)
        if caller.expires is not None:
            ttl_ms = max(1, min(ttl_ms, round((caller.expires - time.time()) * 1000)))
        minted = credentials.mint_token()
        record = CredentialRecord(
            kind="token",
            state="active",
            project_id=project_id,
            key_id=booked_on,
            scopes=frozenset({TRANSCRIBE_SCOPE}),
            parent=authority,
        )
        token = Token.of(minted.sha256, record, ttl_ms)
        async with self._database.connection() as connection:
            await repository.insert_token(connection, token)
        try:
            if parent is not None:
                await self._mirror.put([parent])
            await self._mirror.put_tokens([token])
        except RedisUnavailable as error:
            raise ServiceUnavailable("No token can be granted at the moment. Try again in a few seconds.") from error
        return minted.text, ttl_ms / 1000

    async def _grantor(self, caller: SessionCaller, project_id: str) -> Entry:
        if caller.scopes_in(project_id) is None:
            raise _foreign()
        # No line and no notification: a grant changes nothing, and the caller here writes it to Redis or refuses it.
        async with self._changes.transaction(SYSTEM) as change:
            change.exempt("session_grants")
            connection = change.connection
            # The caller may be remembered from a moment ago; what ends a session or a membership waits for this.
            if not await repository.lock_session(connection, caller.sha256):
                raise CallerEnded("The session has ended. Sign in again.")
            state = await repository.project_state(connection, caller.user_id, project_id)
            if state is None:
                raise _foreign()
            if state != "active":
                raise MayNotTranscribe("The project is suspended. Contact support.")
            return await repository.grantor(connection, caller.sha256, caller.user_id, project_id)


def _foreign() -> ForeignProject:
    return ForeignProject("No such project, or none that this credential may see.")


TOKENS: Final = web.AppKey("tokens", TokenService)
