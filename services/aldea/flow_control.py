"""Writing to a peer that takes less than it is sent: who waits for it, and when it counts as stalled.

A transport calls its protocol's `pause_writing` when its buffer is full, and `resume_writing` when the peer has taken
enough. In between, a peer that takes a little is slow; one that takes nothing for some time is stalled.
"""

import asyncio
from collections.abc import Callable

from aldea.standstill import Later, lived
from aldea.tasks import Deadline


class FlowControl:
    """One connection's writing side. Times are lived ones: a peer is not judged by a standstill of this process."""

    __slots__ = ("_loop", "_on_stall", "_patience", "_since", "_size", "_timer", "_transport", "_waiters")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        *,
        patience: float | None = None,
        on_stall: Callable[[], None] | None = None,
    ) -> None:
        """`on_stall` is called when the peer took nothing from the full buffer for `patience` seconds."""
        self._loop = loop
        self._transport = transport
        self._patience = patience
        self._on_stall = on_stall
        self._since: float | None = None  # when the peer last took something, while the buffer is full
        self._size = 0  # what was in the buffer then
        self._timer: Later | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def paused(self) -> bool:
        """Whether the buffer is full."""
        return self._since is not None

    def pause(self) -> None:
        """The buffer is full: what `pause_writing` says."""
        self._since = lived(self._loop)
        self._size = self._transport.get_write_buffer_size()
        self._watch()

    def resume(self) -> None:
        """The peer has taken enough, or the connection is lost: what `resume_writing` and `connection_lost` say."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wake()

    def wake(self) -> None:
        """End every `drained` that waits, whatever the peer has taken: there may be nothing to wait for any more."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def stalled(self, now: float | None = None) -> float:
        """For how many seconds the peer has taken nothing; 0 while the buffer is not full.

        `now`: the loop's lived time, if the caller has looked at it for many connections.
        """
        if self._since is None:
            return 0.0
        if now is None:
            now = lived(self._loop)
        size = self._transport.get_write_buffer_size()
        if size < self._size:
            self._since = now
        self._size = size
        return now - self._since

    async def drained(self, seconds: float) -> None:
        """Wait until the buffer is not full any more, or for `wake`.

        Raises TimeoutError once the peer has taken nothing for `seconds`.
        """
        if not self.paused:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            while not waiter.done():
                left = seconds - self.stalled()
                if left <= 0:
                    raise TimeoutError
                try:
                    with Deadline(left):
                        await asyncio.wait((waiter,))
                except TimeoutError:
                    continue  # it may have taken something meanwhile
        finally:
            self._waiters.discard(waiter)

    def _watch(self) -> None:
        if self._patience is not None:
            self._timer = Later(self._loop, max(0.0, self._patience - self.stalled()), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._patience is None or not self.paused:
            return
        if self.stalled() < self._patience:
            self._watch()
        elif self._on_stall is not None:
            self._on_stall()
