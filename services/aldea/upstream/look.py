"""Looks at servers that are out of use, for requests that would be refused otherwise: one may be back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from aldea.tasks import cancel, spawn
from aldea.upstream.server import Upstream

# Between the beginnings of two looks, for each server that is out of use, and at most: however many requests find no
# server, a dead one gets 10 probes a second, and all of a lane of 64 together 32.
PAUSE_PER_SERVER_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0

Probe = Callable[[Upstream], Awaitable[bool]]


class Look:
    """One probe of each server that is out of use, shared by all requests that came before it began."""

    def __init__(self) -> None:
        self._responded: list[Upstream] = []
        self._over = False
        self._news = asyncio.Event()

    async def next(self, not_in: Collection[Upstream]) -> Upstream | None:
        """A server that responded, as soon as one has; None if no other will. `not_in`: those that were tried."""
        while True:
            for server in self._responded:
                if server not in not_in and not server.leaving:
                    return server
            if self._over:
                return None
            await self._news.wait()

    async def run(self, servers: Iterable[Upstream], probe: Probe) -> None:
        """Probe them all at the same time."""

        async def look_at(server: Upstream) -> None:
            if await probe(server):
                self._responded.append(server)
                self._notify()

        await asyncio.gather(*map(look_at, servers))

    def end(self) -> None:
        """No other server will respond."""
        self._over = True
        self._notify()

    def _notify(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Looks:
    """Begins looks, not more often than the servers can bear."""

    def __init__(self, servers: Callable[[], Collection[Upstream]], probe: Probe) -> None:
        """`servers`: those that are out of use now. `probe`: whether a server responds; it has a deadline."""
        self._servers = servers
        self._probe = probe
        self._coming: Look | None = None
        self._due = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> Look:
        """A look that begins now or shortly: what it finds is newer than the request."""
        if self._coming is None:
            look = self._coming = Look()
            task = spawn(self._run(look), name="look at servers out of use")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: look.end())
        return self._coming

    async def _run(self, look: Look) -> None:
        await asyncio.sleep(self._due - time.monotonic())
        self._coming = None
        servers = self._servers()
        self._due = time.monotonic() + min(PAUSE_PER_SERVER_SECONDS * len(servers), LONGEST_PAUSE_SECONDS)
        await look.run(servers, self._probe)

    async def close(self) -> None:
        """End what runs; those who wait for it learn that no server responded."""
        await cancel(*self._tasks)
