"""A client's connection while its requests are plain uploads; the first that is not passes it on to aiohttp.

One task works on all requests of a connection, one after the other, and no object of aiohttp's is made for them.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import partial
from typing import Protocol, TypeAlias, cast

import structlog
from aiohttp import web

from aldea import faults
from aldea.flow_control import FlowControl
from aldea.service.server import UNREAD_SECONDS, ServiceConnection
from aldea.standstill import SECOND_LOOK_SECONDS
from aldea.tasks import Deadline, cancel, spawn
from http_proxy.raw.body import Body
from http_proxy.raw.head import plain_head
from http_proxy.raw.request import PlainRequest
from http_proxy.raw.response import as_bytes
from http_proxy.response import Relayed

log = structlog.get_logger("http_proxy.raw")

RawHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host(Protocol):
    """What a connection needs of its server."""

    first_request_seconds: float
    keepalive_seconds: float
    linger_seconds: float
    read_buffer: int
    raw_connections: "set[RawConnection]"
    raw_handler: RawHandler | None

    def aiohttp_connection(self) -> ServiceConnection:
        """A connection of aiohttp's kind."""


class State(Enum):
    """What a connection does."""

    IDLE = "waits for a request"
    WORKING = "has a request that is worked on"
    LINGERING = "has its response, and the rest of its body is dropped"
    GONE = "is lost, or aiohttp's"


class RawConnection(asyncio.Protocol):
    """One connection: IDLE → WORKING (→ LINGERING) → IDLE …, until it is GONE."""

    __slots__ = (
        "_behind",
        "_body",
        "_closing",
        "_due",
        "_handler",
        "_host",
        "_keepalive",
        "_looked",
        "_loop",
        "_next",
        "_served",
        "_state",
        "_task",
        "_timer",
        "flow",
        "remote",
        "transport",
    )  # fmt: skip

    def __init__(self, host: Host, handler: RawHandler, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._handler = handler
        self._loop = loop
        self._state = State.IDLE
        self._body: Body | None = None
        self._behind = b""  # what was sent behind the present request; nothing more is read until its turn
        self._closing = False  # after the present request
        self._served = False  # a request
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[PlainRequest | None] | None = None  # what the task waits for between two requests
        self._due = 0.0
        self._looked = False  # at the socket, for what came while the connection's time ran out
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.remote: str | None = None
        self.flow: FlowControl | None = None  # once the client has taken too little

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.remote = str(peer[0]) if isinstance(peer, tuple) else None
        if (found := transport.get_extra_info("socket")) is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._host.raw_connections.add(self)
        self._be_idle(self._host.first_request_seconds)

    def data_received(self, data: bytes) -> None:
        if self._state is State.IDLE:
            self._begin(data)
        elif self._body is not None and (rest := self._body.feed(data)):
            self._behind += rest
            self._pause()

    def eof_received(self) -> bool | None:
        """The client closed its sending side (RFC 9112 section 9.6): what is under way still gets its response."""
        if self._state is State.IDLE:
            return None
        self._break_body("the connection was closed")
        self._closing = True
        return self._state is State.WORKING

    def pause_writing(self) -> None:
        if self.flow is None and self.transport is not None:
            give_up = partial(_give_up, self.transport)
            self.flow = FlowControl(self._loop, self.transport, patience=UNREAD_SECONDS, on_stall=give_up)
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        if self.flow is not None:
            self.flow.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base class' signature
        working = self._state in {State.WORKING, State.LINGERING}
        self._leave()
        self._closing = True
        if self.flow is not None:
            self.flow.resume()
        self._break_body("the connection was lost")
        if not working:
            self._host.raw_connections.discard(self)

    # What the server calls.

    def close(self) -> None:
        """End the connection once the request that is under way has its response."""
        self._closing = True
        if self._state is State.IDLE and self.transport is not None:
            self.transport.close()

    async def shutdown(self, seconds: float | None) -> None:
        """End the connection; the request that is under way gets so long."""
        self.close()
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=seconds)
            await cancel(self._task)
        if self.transport is not None:
            self.transport.close()

    # Between two requests.

    def _be_idle(self, seconds: float) -> None:
        self._state = State.IDLE
        self._body = None
        self._due = self._loop.time() + seconds
        self._looked = False
        if self._timer is None or self._timer.when() > self._due:
            self._watch(self._due)

    def _watch(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Close the connection if it is idle and its time is over; where it is not, the next idle time sees to that."""
        self._timer = None
        if self._state is not State.IDLE:
            return
        if self._loop.time() < self._due:
            self._watch(self._due)
        elif not self._looked:
            # Where the process stood still, a request may have come in time and be read only after this timer.
            self._looked = True
            self._watch(self._loop.time() + SECOND_LOOK_SECONDS)
        elif self.transport is not None:
            self.transport.close()

    def _begin(self, data: bytes) -> None:
        if self._closing:
            return
        head = plain_head(data)
        # What is sent behind a request before its response is left to aiohttp as well, for which all of it is one feed.
        if head is None or len(data) > head.size + head.length:
            self._hand_over(data)
            return
        self._state = State.WORKING
        self._served = True
        body = self._body = Body(self._loop, head.length, self._host.read_buffer, self._pause, self._resume)
        request = PlainRequest(self, head, body)
        if len(data) > head.size:
            # Nearly all that has come, so it is not copied: who reads it may as well get a memoryview.
            body.feed(memoryview(data)[head.size :])  # type: ignore[arg-type]
        if self._next is not None:
            self._next.set_result(request)
        else:
            self._task = spawn(self._serve(request), name="raw-connection")

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp read from here on, beginning with `data`."""
        transport = self.transport
        if transport is None:
            return
        left = self._due - self._loop.time()
        self._leave()
        self._host.raw_connections.discard(self)
        connection = self._host.aiohttp_connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if not self._served:
            connection.bound_first_head(left)
        connection.data_received(data)

    def _leave(self) -> None:
        self._state = State.GONE
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    # The task.

    async def _serve(self, first: PlainRequest) -> None:
        request: PlainRequest | None = first
        try:
            while request is not None:
                response = await self._handler(cast("web.Request", request))  # the members of it that are used
                keep_alive = await self._respond(request, response)
                await self._linger()
                if self.transport is None:
                    break
                if not keep_alive or self._closing or not request.content.is_eof():
                    self.transport.close()
                    break
                request = await self._following()
        finally:
            if self._state is not State.GONE and self.transport is not None:
                self.transport.close()
            self._host.raw_connections.discard(self)

    async def _respond(self, request: PlainRequest, response: web.StreamResponse) -> bool:
        """Send the response, if it is not sent already; whether the connection can carry another request."""
        if isinstance(response, Relayed):
            return response.keep_alive
        keep_alive = request.keep_alive if response.keep_alive is None else response.keep_alive
        transport = self.transport
        if transport is None or transport.is_closing() or not isinstance(response, web.Response):
            return False
        transport.write(as_bytes(response, keep_alive=keep_alive))
        if self.flow is not None and self.flow.paused:
            await self.flow.drained(2 * UNREAD_SECONDS)  # it is cut before
        return keep_alive

    async def _linger(self) -> None:
        """Drop what still comes of the body, so that the client sees its response and no reset."""
        body = self._body
        if body is None or body.is_eof() or body.exception() is not None or self._state is not State.WORKING:
            return
        self._state = State.LINGERING
        try:
            with Deadline(self._host.linger_seconds):
                await body.ended()
        except TimeoutError:
            return

    async def _following(self) -> PlainRequest | None:
        """The next plain request; None if there will be none here."""
        self._next = self._loop.create_future()
        self._be_idle(self._host.keepalive_seconds)
        if self._behind:
            data, self._behind = self._behind, b""
            self._resume()
            self._begin(data)
        try:
            return await self._next
        finally:
            self._next = None

    def _pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing() and not self._behind:
            self.transport.resume_reading()

    def _break_body(self, why: str) -> None:
        body = self._body
        if body is None or body.is_eof() or body.exception() is not None:
            return
        if self._state is State.LINGERING:
            body.feed_eof()
        else:
            body.set_exception(faults.BodyEnded(why))


def _give_up(transport: asyncio.Transport) -> None:
    log.info("client does not read", seconds=UNREAD_SECONDS)
    transport.abort()
