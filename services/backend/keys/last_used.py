"""Writes down when keys were last used at the Platform API, many at a time: no request waits for a row lock.

What a key transcribed is in the usage rows, and read from there; the proxies write nothing here.
"""

import asyncio
from typing import Final

import structlog

from aldea.postgres import Database
from backend.api.authentication import Authenticator
from backend.keys import repository

log = structlog.get_logger("backend.keys")

WRITE_SECONDS: Final = 10.0


async def write_last_used(database: Database, authenticator: Authenticator) -> None:
    """Every ten seconds, write the last use of the keys that were used meanwhile."""
    while True:
        await asyncio.sleep(WRITE_SECONDS)
        await write_once(database, authenticator)


async def write_once(database: Database, authenticator: Authenticator) -> None:
    """Write the last use of the keys used since the last call; while PostgreSQL is unavailable they are kept."""
    used, authenticator.used_keys = authenticator.used_keys, {}
    if not used:
        return
    try:
        async with database.connection() as connection:
            await repository.note_use(connection, used)
    except Exception as error:  # noqa: BLE001 - a convenience; it must not end for any reason
        log.warning("last use write failed", keys=len(used), error=f"{type(error).__name__}: {error}")
        authenticator.used_keys = used | authenticator.used_keys
