"""The HTTP server's connections: faults of a request's framing in the contract's shape, and a way out of HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, TypeAlias

import structlog
from aiohttp import HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.web_protocol import RequestHandler

from aldea import errors, faults
from aldea.flow_control import FlowControl
from aldea.headers import SERVER, request_id
from aldea.service.request_head import tidied, valid_host
from aldea.standstill import SECOND_LOOK_SECONDS

log = structlog.get_logger("aldea.service.server")

# A connection that has not sent a request's head within this (its first from the connection's beginning, a later one
# from that head's first byte) is closed, however slowly it still sends: every balancer sends a head at once, and who
# holds thousands of half heads would hold thousands of sockets.
FIRST_REQUEST_SECONDS: Final = 30.0
# How long a client that sent no HTTP may go on sending before its connection is closed.
REFUSED_SECONDS: Final = 2.0
# A client that reads nothing of a full buffer for this long is cut off: it would hold its socket and its requests for
# as long as it likes. Longer than the deadlines of handlers that send large responses, which say more.
UNREAD_SECONDS: Final = 120.0
# The application's own figure for a head.
FIRST_REQUEST: Final = web.AppKey("first_request", float)


_SPOKEN: Final = (HttpVersion10, HttpVersion11)

ServerHandler: TypeAlias = Callable[[Any], Awaitable[web.StreamResponse]]


class ServiceConnection(RequestHandler):
    """One connection. aiohttp's own, with our responses to what is not HTTP, and a way out of HTTP.

    It learns what happens to a body after its request's handler was started, and still responds to a client that closed
    only its sending side.
    """

    __slots__ = ("_body", "_ended", "_left", "_looked", "flow")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._body: StreamReader | None = None  # of the latest request
        self.flow: FlowControl | None = None  # once the client has taken too little
        self._ended = 0  # requests whose handler has returned
        self._looked = False  # at the socket, for what came while the connection's time ran out
        self._left: asyncio.Future[None] | None = None  # of a client that was refused by the parser

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        server = self._manager
        if isinstance(server, ServiceServer):
            self.bound_first_head(server.first_request_seconds)

    def bound_first_head(self, seconds: float) -> None:
        """Give the first request's head so long, for a connection that began earlier."""
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + seconds
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _process_keepalive(self) -> None:
        # Where the process stood still, a request may have come in time and be read only after this timer.
        self._looked = not self._looked
        if self._looked:
            self._keepalive_handle = self._loop.call_later(SECOND_LOOK_SECONDS, self._process_keepalive)
        else:
            super()._process_keepalive()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._bound_next_head()
        if not self._messages:
            return
        message, body = self._messages[-1]
        if hasattr(message, "method"):
            self._body = body
        else:
            # What the parser refuses becomes a queued 400 response for a "next" request. If it was the present one's
            # body that made no sense (a broken chunk), its handler would wait for the rest until its deadline.
            self._break_body("its chunked coding is broken")

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio: true keeps the transport open
        """The client closed its sending side (RFC 9112 section 9.6): what is under way still gets its response."""
        if self._upgraded or self._payload_parser is not None:
            return None  # no longer HTTP: the connection's new owner is notified of its end
        self._break_body("the connection was closed")
        if self._ended >= self._request_count or (self._manager is not None and self._manager.handler_cancellation):
            return None  # nothing is under way, or it is to end with its client, which may have left
        self.close()
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.flow is None and self.transport is not None:
            self.flow = FlowControl(
                self._loop, self.transport, patience=UNREAD_SECONDS, on_stall=partial(_give_up, self.transport)
            )
        if self.flow is not None:
            self.flow.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.flow is not None:
            self.flow.resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.flow is not None:
            self.flow.resume()
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        self._break_body("the connection was lost")
        super().connection_lost(exc)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self._ended += 1
        finishing = super().finish_response(request, resp, start_time)
        return finishing if self._left is None else self._linger(finishing, self._left)

    async def _linger(
        self, finishing: Coroutine[Any, Any, tuple[web.StreamResponse, bool]], left: asyncio.Future[None]
    ) -> tuple[web.StreamResponse, bool]:
        """Send a refusal and discard what still comes: closed at once, the client would see only a reset."""
        finished = await finishing
        self._close = True
        if self.transport is not None and not self.transport.is_closing():
            with suppress(OSError):  # it has left in this moment
                self.transport.write_eof()
            await asyncio.wait({left}, timeout=REFUSED_SECONDS)
        return finished

    def _break_body(self, why: str) -> None:
        body = self._body
        if body is None or body.is_eof() or body.exception() is not None:
            return
        if self._ended >= self._request_count:
            # Its request has its response and the rest is discarded; aiohttp would wait out its time for it.
            body.feed_eof()
            return
        self._lingering_time = 0.0  # nothing will come that could be waited for
        body.set_exception(faults.BodyEnded(why))
        self.close()

    def _bound_next_head(self) -> None:
        """A kept connection's next head, once begun, has as long as the first one."""
        server = self._manager
        if self._waiter is None or self._waiter.done() or not isinstance(server, ServiceServer):
            return  # a request is being worked on
        due = self._loop.time() + server.first_request_seconds
        if due < self._next_keepalive_close_time and self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = due
            self._keepalive_handle = self._loop.call_at(due, self._process_keepalive)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refused (400) or nobody caught (500), in the contract's shape; the connection ends."""
        fault: errors.ApiError
        if status < 500:
            self._left = self._loop.create_future()
            log.info("malformed request", remote=request.remote, reason=str(message or exc)[:200])
            fault = errors.BadRequest("The request is not valid HTTP/1.1. Check its request line and headers.")
            # aiohttp's substitute for a request that it could not read has HTTP/1.0; a server says its own version.
            request._version = HttpVersion11  # noqa: SLF001 - there is no public way
        else:
            log.error("request failed", request_id=request_id(request), exc_info=exc)
            fault = errors.ApiError("The service failed on this request. It is logged under the request id; try again.")
        if request.writer.output_size > 0:
            raise ConnectionError("a response was begun already; no error can follow it")
        response = fault.response(request_id(request), {hdrs.SERVER: SERVER})
        response.force_close()
        return response

    def leave_http(self) -> tuple[asyncio.Transport, bytes] | None:
        """Hand the connection over: its transport, and what arrived behind the request. None if it is closed.

        Reading is paused. aiohttp is notified that the connection was lost: it drops all it holds for it, and what the
        request's handler returns afterwards is discarded. The transport's protocol must be replaced before the next
        await.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return None
        if transport.get_write_buffer_size() > 0:
            # Requests were pipelined before this one and their responses never read. Such a connection's flow control
            # is in a state that the new owner of the connection could not know.
            transport.abort()
            return None
        early, self._message_tail = self._message_tail, b""
        transport.pause_reading()
        self.transport = None
        self.connection_lost(None)
        return transport, early


def _give_up(transport: asyncio.Transport) -> None:
    log.info("client does not read", seconds=UNREAD_SECONDS)
    transport.abort()


class Departed(web.StreamResponse):
    """What a handler returns for a connection that has left HTTP: aiohttp needs one, and sends nothing of it."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        return None


class ServiceServer(web.Server):
    """Makes a connection of our own kind for each that is accepted."""

    connection: ClassVar[type[ServiceConnection]] = ServiceConnection
    first_request_seconds: float = FIRST_REQUEST_SECONDS

    def __call__(self) -> RequestHandler:
        return self.connection(self, loop=self._loop, **self._kwargs)


class ServiceRunner(web.AppRunner):
    """Runs an application on `ServiceConnection`s.

    Bodies arrive as they were sent, compressed ones too: aiohttp would decompress them in one go on the event loop,
    also where nobody reads them, and would take one that was cut for a whole one (`aldea.service.payload` does it).
    """

    __slots__ = ()
    server_class: ClassVar[type[ServiceServer]] = ServiceServer

    def handler(self, routed: ServerHandler) -> ServerHandler:
        """What handles requests; `routed` is the application's own handler."""
        return routed

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = {**made._kwargs, "auto_decompress": False}  # noqa: SLF001 - as below
        server = self.server_class(
            _refusing(self.handler(made.request_handler)),
            request_factory=_tidying(made.request_factory),
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - aiohttp has no public way to choose the connection's class
            **options,
        )
        server.first_request_seconds = self.app.get(FIRST_REQUEST, FIRST_REQUEST_SECONDS)
        return server


def _refusing(handler: ServerHandler) -> ServerHandler:
    """`handler` for HTTP/1.0 and 1.1; also what aiohttp refuses before any middleware gets the contract's shape."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        version = request._version  # noqa: SLF001 - the public property is remembered, and the response is in our own
        if version not in _SPOKEN:
            request._version = HttpVersion11  # noqa: SLF001
            said = f"HTTP/{version.major}.{version.minor}"
            fault: errors.ApiError = errors.BadRequest(f"The request says {said}; HTTP/1.1 is spoken here.")
        elif not valid_host(request.headers.get(hdrs.HOST, "")):
            # RFC 9112 section 3.2. What each hop makes of it would be its own guess.
            fault = errors.BadRequest("The request's Host is no host name or address, with or without a port.")
        else:
            try:
                return await handler(request)
            except web.HTTPException as error:  # of an Expect that is not known
                if error.status < 400:
                    raise
                fault = faults.from_http_exception(error, request)
        response = fault.response(request_id(request), {hdrs.SERVER: SERVER})
        response.force_close()
        return response

    return handle


def _tidying(made: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """`made` for requests whose head was tidied first."""

    def make(message: Any, *rest: Any) -> web.BaseRequest:
        return made(tidied(message), *rest)

    return make


def leave_http(request: web.BaseRequest) -> tuple[asyncio.Transport, bytes] | None:
    """`ServiceConnection.leave_http` of this request's connection."""
    connection = request.protocol
    if not isinstance(connection, ServiceConnection):
        raise TypeError("the application must be run by aldea.service.server.ServiceRunner")
    return connection.leave_http()
