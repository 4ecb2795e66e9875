"""Placement: which STT server a stream is on, and the search for another one when that is lost or is to be left."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from aldea import errors
from aldea.standstill import lived
from aldea.tasks import spawn
from aldea.tracing.trace import Trace
from aldea.upstream import Upstream, Upstreams
from ws_proxy import metrics
from ws_proxy.settings import Settings
from ws_proxy.upstream_handshake import Deadlines, open_upstream
from ws_proxy.websocket.connect import Opened
from ws_proxy.websocket.frames import CloseCode
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Cause

log = structlog.get_logger("ws_proxy.placement")

# A stream that kills one server after the other is not given a fourth one.
MOST_IN_A_MINUTE: Final = 3
MINUTE_SECONDS: Final = 60.0
# Between two rounds of all servers: at once enough for one that refused by chance, not a load for those that refuse.
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 1.0
# For one server's 101 while a customer waits: a hanging one must not use up the whole hold.
RESPONSE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What a stream's opening sends to a server: raw path and query, and headers; and the trace of which it is."""

    path: str
    query: str
    headers: Mapping[str, str]
    trace: Trace | None = None


class Finder:
    """Opens streams' connections to STT servers; one for the process."""

    def __init__(self, settings: Settings, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self.hold_seconds = settings.failover_hold_seconds
        self._settings = settings

    async def first(self, request: UpstreamRequest, until: float) -> tuple[Upstream, Opened]:
        """A server for a new stream, by `until` in the loop's lived time. Raises what `open_upstream` does."""
        return await self._open(request, until, self._settings.upstream_answer_seconds, None)

    async def next(self, request: UpstreamRequest, until: float, avoiding: Upstream | None) -> tuple[Upstream, Opened]:
        """A server for a stream that runs."""
        return await self._open(request, until, min(self._settings.upstream_answer_seconds, RESPONSE_SECONDS), avoiding)

    async def _open(
        self, request: UpstreamRequest, until: float, response: float, avoiding: Upstream | None
    ) -> tuple[Upstream, Opened]:
        deadlines = Deadlines(connect=self._settings.upstream_connect_seconds, response=response, until=until)
        return await open_upstream(
            self.upstreams,
            request.path,
            request.query,
            request.headers,
            deadlines,
            avoiding=avoiding,
            trace=request.trace,
        )


class Placement:
    """One stream's. `server` is held for it (`Upstreams.hold`); None while another one is looked for."""

    __slots__ = (
        "_bytes_per_second",
        "_finder",
        "_recent",
        "_relay",
        "_request",
        "_task",
        "before_leaving",
        "failovers",
        "server",
    )

    def __init__(
        self, finder: Finder, relay: Relay, request: UpstreamRequest, server: Upstream, bytes_per_second: int = 1
    ) -> None:
        """`bytes_per_second`: of raw audio, for the figures."""
        self._finder = finder
        self._relay = relay
        self._request = request
        self._bytes_per_second = bytes_per_second
        self._recent: tuple[float, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self.server: Upstream | None = server
        self.failovers = 0
        # Called before the stream leaves its server.
        self.before_leaving: Callable[[], None] = _nothing
        relay.on_loss = self._lost

    def release(self, failure: str | None) -> None:
        """The stream has ended. `failure`: how its server failed it, if it did."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._let_go(failure)
        self.before_leaving = _nothing

    def _let_go(self, failure: str | None) -> None:
        server, self.server = self.server, None
        if server is None:
            return
        upstreams = self._finder.upstreams
        upstreams.release(server)
        closed = self._relay.upstream.close_received
        if closed is not None and closed[0] == CloseCode.SERVICE_RESTART:
            upstreams.note_restart(server)
        if failure is not None:
            upstreams.failed(server, f"a running stream failed: {failure}")

    # A server that is lost.

    def _lost(self, cause: Cause, reason: str) -> bool:
        now = lived(self._relay.loop)
        recent = tuple(at for at in self._recent if now - at < MINUTE_SECONDS)
        if len(recent) >= MOST_IN_A_MINUTE:
            metrics.FAILED_FAILOVERS.labels("too many").inc()
            return False
        self._recent = (*recent, now)
        if self._task is not None:
            self._task.cancel()
        heard = self._relay.server_heard_since if cause == "hangs" else now
        server = self.server
        self.before_leaving()
        # A server that closes with a code of its own lives, whatever the code says.
        self._let_go(None if cause == "closed" else reason)
        self._task = spawn(self._replace(server, cause, reason, heard), name="failover")
        return True

    async def _replace(self, lost: Upstream | None, cause: Cause, reason: str, heard: float) -> None:
        relay, finder = self._relay, self._finder
        now = lived(relay.loop)
        until = now + finder.hold_seconds
        # However short the hold is, the other servers are tried once.
        deadline = max(until, now + RESPONSE_SECONDS)
        avoiding, pause = lost, FIRST_PAUSE_SECONDS
        while relay.wants_server:
            try:
                server, opened = await finder.next(self._request, deadline, avoiding)
            except errors.BadRequest:
                break
            except errors.ApiError:
                pass
            except Exception:
                # The client must not be held for ever by a defect of ours.
                log.exception("the search for an STT server failed", request_id=self._request_id)
                break
            else:
                if self._take(server, opened, cause, reason, lost, heard):
                    return
            if lived(relay.loop) + pause >= until:
                break
            avoiding, deadline = None, until  # the lost one may be back
            await asyncio.sleep(pause * (0.8 + 0.4 * random.random()))
            pause = min(pause * 2, LAST_PAUSE_SECONDS)
        self._task = None
        if relay.wants_server:
            metrics.FAILED_FAILOVERS.labels("no server").inc()
            log.warning("no STT server for a running stream", request_id=self._request_id, cause=cause, reason=reason)
            relay.give_up("NET-0000: connection to the STT server lost")

    def _take(
        self, server: Upstream, opened: Opened, cause: Cause, reason: str, left: Upstream | None, heard: float
    ) -> bool:
        relay, upstreams = self._relay, self._finder.upstreams
        gone = opened.transport.is_closing()
        if gone or not (relay.wants_server or (cause == "planned" and relay.continuable)):
            opened.transport.abort()
            upstreams.release(server)
            if gone:
                upstreams.failed(server, "it closed the connection as soon as it was open")
            return False
        self._task = None
        if cause == "planned":
            self.before_leaving()
            self._let_go(None)
        self.server = server
        self.failovers += 1
        request_id = self._request_id

        def spoke() -> None:
            gap = lived(relay.loop) - heard
            metrics.GAP_SECONDS.observe(gap)
            log.info("stream goes on", request_id=request_id, upstream=server.name, gap_ms=round(gap * 1000))

        replayed = relay.resume(opened.transport, opened.early, spoke) / self._bytes_per_second
        metrics.FAILOVERS.labels(cause).inc()
        upstreams.note_failover(request_id, left, server, cause)
        metrics.REPLAYED_SECONDS.inc(replayed)
        log.info(
            "stream failed over",
            request_id=request_id,
            cause=cause,
            reason=reason,
            lost=left.name if left is not None else None,
            upstream=server.name,
            replayed_ms=round(replayed * 1000),
        )
        return True

    @property
    def _request_id(self) -> str:
        return self._request.headers.get("dg-request-id", "")

    # A server that is to be left.

    @property
    def unfinished_seconds(self) -> float:
        """The audio that another server would be sent again."""
        return self._relay.unfinished_bytes / self._bytes_per_second

    @property
    def final_seconds(self) -> float:
        """Up to where the stream's words are final."""
        relay = self._relay
        return (relay.client.scanner.binary_bytes - relay.unfinished_bytes) / self._bytes_per_second

    async def move(self) -> bool:
        """Go to another server while the present one still serves; False if none takes the stream, or it cannot."""
        left = self.server
        if left is None or self._task is not None or not self._relay.continuable:
            return False
        moving = self._task = spawn(self._move(left), name="move")
        await asyncio.wait({moving})
        if self._task is moving:
            self._task = None
        return self.server is not left

    async def _move(self, left: Upstream) -> None:
        until = lived(self._relay.loop) + self._finder.hold_seconds
        try:
            server, opened = await self._finder.next(self._request, until, left)
        except errors.ApiError:
            return
        self._take(server, opened, "planned", "the server is to be left", left, lived(self._relay.loop))


def _nothing() -> None:
    pass
