"""A body of known length on its way: bytes under a counter, and a bound on what waits for its reader."""

import asyncio
from collections.abc import Callable
from typing import Final

# Reading pauses at twice what a reader should have waiting, as aiohttp's streams do.
_HIGH: Final = 2


class Body:
    """What a connection feeds and one reader takes, with the names of aiohttp's `StreamReader`.

    `pause` is called when more than twice `limit` bytes wait, `resume` when less than `limit` do again.
    """

    __slots__ = ("_discarding", "_exception", "_left", "_limit", "_loop", "_pause", "_paused", "_pieces", "_resume",
                 "_size", "_waiter")  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        length: int,
        limit: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._left = length
        self._limit = limit
        self._pause = pause
        self._resume = resume
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._discarding = False
        self._waiter: asyncio.Future[None] | None = None
        self._exception: BaseException | None = None

    # The connection's side.

    def feed(self, data: bytes) -> bytes:
        """Take what came; what does not belong to the body any more is returned. A memoryview will do as well."""
        rest = b""
        if len(data) > self._left:
            data, rest = data[: self._left], data[self._left :]
        if data:
            self._left -= len(data)
            if not self._discarding:
                self._pieces.append(data)
                self._size += len(data)
                if self._size > _HIGH * self._limit and not self._paused:
                    self._paused = True
                    self._pause()
            if self._waiter is not None:
                self._wake()
        return rest

    def feed_eof(self) -> None:
        """Nothing more will come, and nobody minds."""
        self._left = 0
        self._wake()

    def set_exception(self, error: BaseException) -> None:
        """Nothing more will come: every later read raises `error`."""
        self._exception = error
        self._wake()

    def is_eof(self) -> bool:
        """Whether all of it has come."""
        return not self._left

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The reader's side.

    @property
    def at_hand(self) -> bool:
        """Whether `read_nowait` would return something."""
        return bool(self._pieces) and self._exception is None

    def exception(self) -> BaseException | None:
        """What `set_exception` was given."""
        return self._exception

    def at_eof(self) -> bool:
        """Whether all of it was read."""
        return not self._left and not self._pieces

    def read_nowait(self) -> bytes:
        """All that waits; b"" if that is nothing."""
        if self._exception is not None:
            raise self._exception
        pieces = self._pieces
        if not pieces:
            return b""
        found = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        self._taken()
        return found

    async def readany(self) -> bytes:
        """All that waits, as soon as there is something; b"" at the end."""
        while self._left and not self._pieces and self._exception is None:
            await self._next()
        return self.read_nowait()

    async def ended(self) -> None:
        """Return once nothing more will come. What waits and what still comes is dropped."""
        self._discarding = True
        self._pieces.clear()
        self._size = 0
        self._taken()
        while self._left and self._exception is None:
            await self._next()

    async def _next(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _taken(self) -> None:
        if self._paused:
            self._paused = False
            self._resume()
