"""The connections of a link that single commands use, in turns: the wait for one does not count against Redis.

A turn is a connection in hand. Its exchange has a deadline, which says something about Redis; the wait for a turn says
only how busy this process is, so it has a bound of its own and opens no circuit.
"""

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from aldea.redis.circuit import REDIS_FAILURES
from aldea.redis.errors import RedisUnavailable

# Connections per process besides the one that all scripts share; a hundred processes stay far below ElastiCache's
# 65,000.
MAX_CONNECTIONS: Final = 8
# Commands waiting for a turn. More than this is a process that sends more than it can use.
MAX_WAITING: Final = 4096
# A command waits for its turn so many times as long as an exchange may last.
TURN_EXCHANGES: Final = 4


class Pool:
    """At most MAX_CONNECTIONS connections; a command uses one of them at a time."""

    def __init__(self, url: str, *, command_seconds: float, raw: bool, disturbed: Callable[[], None]) -> None:
        """`raw`: responses as bytes, unparsed. `disturbed` is called when a connection had to be made anew."""
        self.client: redis.Redis = redis.Redis(
            connection_pool=redis.BlockingConnectionPool.from_url(
                url,
                max_connections=MAX_CONNECTIONS,
                timeout=command_seconds,
                decode_responses=not raw,
                protocol=2,
                # The circuit sets the deadline of the whole exchange; the sockets' own deadlines are a second line.
                socket_timeout=4 * command_seconds,
                socket_connect_timeout=4 * command_seconds,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),
                client_name="aldea",
                redis_connect_func=self._connected,
            )
        )
        if raw:
            self.client.response_callbacks.clear()
        self._turn_seconds = TURN_EXCHANGES * command_seconds
        self._disturbed = disturbed
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._waiting = 0
        self._connections: weakref.WeakSet[AbstractConnection] = weakref.WeakSet()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["redis.Redis"]:
        """The client, once one of its connections is free. Raises RedisUnavailable: this process is too busy."""
        if self._waiting >= MAX_WAITING:
            raise _busy(f"{MAX_WAITING} commands wait for a connection to Redis already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._turn_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy(f"no connection to Redis became free within {self._turn_seconds * 1000:.0f} ms") from None
        finally:
            self._waiting -= 1
        try:
            yield self.client
        finally:
            self._turns.release()

    async def leave(self) -> None:
        """Let no connection be used again: those in use are closed when they are given back."""
        pool = self.client.connection_pool
        await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]
        await pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close all of them at once."""
        await self.client.aclose()
        await self.client.connection_pool.disconnect()

    def make_connection(self) -> AbstractConnection:
        """One more, which is the caller's and not connected yet."""
        made: Any = self.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        connection: AbstractConnection = made
        return connection

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        # A connection object that connects anew had lost its server; the library would do so without a word.
        if connection in self._connections:
            self._disturbed()
        self._connections.add(connection)


def _busy(reason: str) -> RedisUnavailable:
    REDIS_FAILURES.labels("busy").inc()
    return RedisUnavailable(f"{reason}; this process is too busy", sent=False)
