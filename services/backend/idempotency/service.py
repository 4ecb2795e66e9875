"""Carries a request out once per `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

The key is taken before the handler runs, and the change's own transaction notes that it is carried out
(`Changes.transaction`): so a process may die at any moment, and the change is made once. A success's response is
kept for a day. A refusal leaves nothing behind, and frees the key.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiohttp import web

from aldea.errors import BadRequest, Conflict, ServiceUnavailable
from aldea.postgres import Connection, Database
from backend.idempotency import repository
from backend.idempotency.sealing import Sealer, sealer
from backend.sweeping import Sweeping

log = structlog.get_logger("backend.idempotency")

HEADER: Final = "Idempotency-Key"
REPEATED_HEADER: Final = "Idempotency-Replayed"
# Visible ASCII. The draft writes a quoted string of RFC 9651; most clients send the bare text.
_KEY: Final = re.compile(r'"[\x21\x23-\x5b\x5d-\x7e]{1,255}"|[\x21\x23-\x7e]{1,255}')
# Of a key that is freed between two looks at it.
LOOKS: Final = 3
SWEEP_SECONDS: Final = 300.0
SWEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request under way that has taken its key."""

    name: bytes
    attempt: str


# Of the request that this task serves.
_CURRENT: Final[ContextVar[Attempt | None]] = ContextVar("idempotency_attempt", default=None)


async def note_change(connection: Connection) -> None:
    """In the transaction of a change: the request that makes it is carried out. Raises Conflict (so it is rolled back).

    That the key is another attempt's means that this one stood still for longer than any may run.
    """
    current = _CURRENT.get()
    if current is not None and not await repository.carried_out(connection, current.name, current.attempt):
        raise Conflict(f"{HEADER}: this request stood still, and another took its place. Send it again.")


def read_key(values: Sequence[str]) -> str | None:
    """The key of these headers, None if there are none. Raises BadRequest."""
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise BadRequest(
            f"{HEADER}: got {', '.join(values)!r:.80}; allowed: one text of 1 to 255 visible ASCII letters, best a new"
            " UUID for each thing to create."
        )
    return values[0].strip('"')


class Idempotency:
    """All keys of the API. Several backends may serve the same one: PostgreSQL says whose it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(
        self,
        key: str,
        *,
        credential: str | None,
        method: str,
        path: str,
        body: bytes,
        run: Callable[[], Awaitable[web.Response]],
    ) -> web.Response:
        """The response of `run`, or that of the first request with this key.

        Raises Conflict: the key was used for another request, or its first request still runs, or its response is lost.
        Raises DatabaseUnavailable, and what `run` raises.
        """
        derive = partial(sealer, credential=credential, key=key, method=method, path=path, body=body)
        # Without a credential it takes its time.
        made = await asyncio.to_thread(derive) if credential is None else derive()
        attempt = Attempt(made.name, str(uuid.uuid4()))
        found = await self._begin(made, attempt)
        if found is not None:
            return _repeated(made, found)
        token = _CURRENT.set(attempt)
        try:
            response = await run()
        except BaseException:
            await self._give_up(attempt)
            raise
        finally:
            _CURRENT.reset(token)
        assert isinstance(response.body, bytes | None)
        await self._finish(attempt, response.status, made.seal(response.body or b""))
        return response

    async def _begin(self, made: Sealer, attempt: Attempt) -> repository.Stored | None:
        for _ in range(LOOKS):
            async with self._database.connection() as connection:
                if await repository.begin(connection, made.name, made.fingerprint, attempt.attempt):
                    return None
                found = await repository.stored(connection, made.name)
            if found is not None:
                return found
        raise ServiceUnavailable(f"{HEADER}: other requests with this key come and go. Try again in a few seconds.")

    async def _finish(self, attempt: Attempt, status: int, sealed: bytes) -> None:
        try:
            async with self._database.connection() as connection:
                await repository.finish(connection, attempt.name, attempt.attempt, status, sealed)
        except ServiceUnavailable:
            # The client has it all the same. A repetition gets 409: carried out, response lost.
            log.warning("response not kept for its idempotency key")

    async def _give_up(self, attempt: Attempt) -> None:
        # Otherwise the key is free when its attempt's time is over.
        with suppress(ServiceUnavailable):
            async with self._database.connection() as connection:
                await repository.give_up(connection, attempt.name, attempt.attempt)


def _repeated(made: Sealer, found: repository.Stored) -> web.Response:
    if found.fingerprint != made.fingerprint:
        raise Conflict(
            f"{HEADER}: this key was used in the last {repository.KEPT_HOURS} hours for another address or body. "
            "Repeat that request as it was, or choose a new key."
        )
    if found.status is not None and found.sealed is not None:
        body = made.open(found.sealed) or None
        headers = {REPEATED_HEADER: "true"}
        if body is None:
            return web.Response(status=found.status, headers=headers)
        return web.Response(status=found.status, body=body, content_type="application/json", headers=headers)
    if found.running:
        raise Conflict(f"{HEADER}: the first request with this key still runs. Try again in a few seconds.")
    raise Conflict(
        f"{HEADER}: the first request with this key was carried out, but its response is lost. Look at what there is "
        "now; to create another one choose a new key."
    )


class Forgetting(Sweeping):
    """Deletes keys whose day is over; several backends may do so at once."""

    def __init__(self, database: Database) -> None:
        super().__init__(
            name="idempotency-keys",
            every=SWEEP_SECONDS,
            again=SWEEP_SECONDS,
            failure="idempotency keys not deleted",
            log=log,
        )
        self._database = database

    async def sweep_now(self) -> int:
        async with self._database.connection() as connection:
            return await repository.forget_expired(connection, SWEPT)


IDEMPOTENCY: Final = web.AppKey("idempotency", Idempotency)
