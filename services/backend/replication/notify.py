"""Notifies every peer of changes: PostgreSQL's NOTIFY inside the changing transaction, LISTEN in each process."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import asyncpg
import structlog

from aldea.postgres import Connection, Database

log = structlog.get_logger("backend.replication.notify")

CHANNEL: Final = "platform_changes"
# How often the listening connection is probed: a half-open one would stay silent forever.
PROBE_SECONDS: Final = 5.0
PROBE_DEADLINE_SECONDS: Final = 2.0
# Pause before listening again after the connection was lost.
RETRY_SECONDS: Final = 1.0
# The queue of changes. When it is full the oldest are dropped: the reconciliation finds them.
MAX_WAITING: Final = 10_000


async def announce(connection: Connection, kind: str, name: str) -> None:
    """Notify every peer, once the transaction commits, that the key, project or user `name` changed."""
    await connection.execute("select pg_notify($1, $2)", CHANNEL, f"{kind}:{name}")


class Listener:
    """Receives changes. `on_change` is called at once (to drop cached callers); `next` returns them in order."""

    def __init__(self, database: Database, on_change: Callable[[], None]) -> None:
        self._database = database
        self._on_change = on_change
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_WAITING)
        self.listening = False

    async def next(self) -> tuple[str, str]:
        """The next change: its kind and name."""
        return await self._waiting.get()

    def hear(self, payload: str) -> None:
        """Take in one notification."""
        self._on_change()
        kind, _, name = payload.partition(":")
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait((kind, name))

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is replaced."""
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever ended it, listening goes on
                log.warning("listening for changes failed", error=f"{type(error).__name__}: {error}")
            finally:
                self.listening = False
                # Changes made while no connection listened are unknown.
                self._on_change()
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        def heard(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
            self.hear(str(payload))

        # Not one of the pool's: it is held for as long as the process runs.
        async with self._database.own_connection() as connection:
            await connection.add_listener(CHANNEL, heard)
            try:
                self.listening = True
                self._on_change()
                while True:
                    await asyncio.sleep(PROBE_SECONDS)
                    await connection.execute("select 1", timeout=PROBE_DEADLINE_SECONDS)
            finally:
                with suppress(asyncpg.InterfaceError):  # the connection broke and was taken back meanwhile
                    if not connection.is_closed():
                        await connection.remove_listener(CHANNEL, heard)
