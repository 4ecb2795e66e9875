"""The servers that one request tries, one after the other, and which of them counts it."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aldea.upstream.look import Look
from aldea.upstream.server import Upstream

if TYPE_CHECKING:
    from aldea.upstream.pool import Upstreams


class Attempts(AsyncIterator[Upstream]):
    """The servers for one request, best first: `with upstreams.attempts() as attempts: async for server in attempts:`.

    The request counts as work of the server that is being tried, so that requests which come at the same time spread.
    A server that took the request is kept with `keep`; without that it stops counting at the end of the `with`.
    """

    def __init__(self, upstreams: "Upstreams", avoiding: Upstream | None) -> None:
        self._upstreams = upstreams
        self._avoiding = avoiding
        self._left: list[Upstream] | None = None  # until the first is chosen
        self._known: tuple[Upstream, ...] = ()  # when the first was chosen
        self._looked_again = False
        self._tried: set[Upstream] = set() if avoiding is None else {avoiding}
        self._look: Look | None = None
        self._current: Upstream | None = None

    @property
    def last(self) -> bool:
        """Whether no other server is known to try after the present one, not even one that may be back."""
        return not (self._left or self._upstreams.may_look(self._tried))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._let_go()

    async def __anext__(self) -> Upstream:
        self._let_go()
        if self._left is None:
            if not self._upstreams.resolved:
                await self._upstreams.renew(doubtful=False)
            self._known = self._upstreams.servers
            self._left = [server for server in self._upstreams.candidates() if server is not self._avoiding]
        server = self._next()
        if server is None and not self._looked_again:
            # The addresses that took no connection may be out of date.
            self._looked_again = True
            await self._upstreams.renew()
            if not set(self._known).issuperset(self._upstreams.servers):
                self._left = [server for server in self._upstreams.candidates() if server not in self._known]
            server = self._next()
        if server is None:
            server = await self._back_again()
        if server is None:
            raise StopAsyncIteration
        self._tried.add(server)
        self._upstreams.hold(server)
        self._current = server
        return server

    def _next(self) -> Upstream | None:
        while self._left:
            server = self._left.pop(0)
            if not server.leaving:  # which it may have become while another was tried
                return server
        return None

    async def _back_again(self) -> Upstream | None:
        # Better than a refusal: a server that was taken out of use may have been restarted a moment ago.
        if self._look is None:
            self._look = self._upstreams.look(self._tried)
        return None if self._look is None else await self._look.next(self._tried)

    def keep(self) -> Upstream:
        """The present server took the request: it counts until the caller says `Upstreams.release`, exactly once."""
        server, self._current = self._current, None
        if server is None:
            raise RuntimeError("no server is being tried")
        return server

    def _let_go(self) -> None:
        if self._current is not None:
            self._upstreams.release(self._current)
            self._current = None
