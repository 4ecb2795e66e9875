"""The connections to the STT servers that wait for their next request, and how a new one is made."""

import asyncio
from collections import deque
from typing import Final

from aldea.tasks import Deadline
from aldea.upstream import Upstream, trust
from http_proxy import metrics
from http_proxy.upstream_connection import ConnectFailed, Connection

# More idle connections than this to one server are closed, not kept.
MAX_IDLE: Final = 64


class Pool:
    """The connections of one process to its STT servers."""

    def __init__(self, *, connect_seconds: float, idle_seconds: float) -> None:
        """`idle_seconds`: how long an unused connection is kept; it must be shorter than the servers' own patience."""
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._idle: dict[str, deque[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def acquire(self, server: Upstream, *, fresh: bool = False) -> Connection:
        """A connection to `server`: the last one used if there is one, unless `fresh`. Raises ConnectFailed."""
        idle = self._idle.get(server.name)
        while idle and not fresh:
            connection = idle.pop()
            if connection.idle() < self._idle_seconds and not connection.stale():
                return connection
            connection.abort()
        return await self._connect(server)

    def release(self, server: Upstream, connection: Connection) -> None:
        """Give a connection back after its response; it is kept only if another request can use it."""
        idle = self._idle.setdefault(server.name, deque())
        if self._closed or not connection.reusable or len(idle) >= MAX_IDLE or self._idle_seconds <= 0:
            connection.abort()
            return
        connection.finish()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_seconds, self._close_idle)

    def close(self) -> None:
        """Close all idle connections, and each of the others when it comes back."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for idle in self._idle.values():
            while idle:
                idle.pop().abort()

    async def _connect(self, server: Upstream) -> Connection:
        loop = asyncio.get_running_loop()
        url = server.base_url
        began = loop.time()
        try:
            with Deadline(self._connect_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    server.host,
                    url.port or 0,
                    ssl=trust() if url.scheme == "https" else None,
                    server_hostname=url.host if url.scheme == "https" else None,
                )
        except TimeoutError:
            raise ConnectFailed(f"no connection within {self._connect_seconds:g} s") from None
        except OSError as error:
            raise ConnectFailed(f"{type(error).__name__}: {error.strerror or error}") from None
        metrics.CONNECT_SECONDS.observe(loop.time() - began)
        return connection

    def _close_idle(self) -> None:
        self._sweep = None
        left = 0
        for idle in self._idle.values():
            while idle and idle[0].idle() >= self._idle_seconds:
                idle.popleft().abort()
            left += len(idle)
        if left:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_seconds, self._close_idle)
