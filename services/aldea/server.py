"""The HTTP server's connections: faults of a request's framing in the contract's shape, and a way out of HTTP."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

import structlog
from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.web_protocol import RequestHandler

from aldea import errors
from aldea.headers import SERVER, request_id
from aldea.request_head import tidied
from aldea.standstill import SECOND_LOOK_SECONDS

log = structlog.get_logger("aldea.server")

# A connection that has not sent a request's head within this (its first from the connection's beginning, a later one
# from that head's first byte) is closed, however slowly it still sends: every balancer sends a head at once, and who
# holds thousands of half heads would hold thousands of sockets.
FIRST_REQUEST_SECONDS: Final = 30.0
# The application's own figure for it.
FIRST_REQUEST: Final = web.AppKey("first_request", float)


class BodyEnded(ConnectionError):
    """The client's side of the connection ended, or made no sense, inside a body."""


class ServiceConnection(RequestHandler):
    """One connection. aiohttp's own, with our answers to what is not HTTP, and a way out of HTTP.

    It learns what happens to a body after its request's handler was started, and still answers a client that closed
    only its sending side.
    """

    __slots__ = ("_body", "_ended", "_looked")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._body: StreamReader | None = None  # of the latest request
        self._ended = 0  # requests whose handler has returned
        self._looked = False  # at the socket, for what came while the connection's time ran out

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        server = self._manager
        if self._keepalive_handle is not None and isinstance(server, ServiceServer):
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + server.first_request_seconds
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
            # What the parser refuses becomes a queued answer 400 for a "next" request. If it was the present one's
            # body that made no sense (a broken chunk), its handler would wait for the rest until its deadline.
            self._break_body("its chunked coding is broken")

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio: true keeps the transport open
        """The client closed its sending side (RFC 9112 section 9.6): what is under way is still answered."""
        if self._upgraded or self._payload_parser is not None:
            return None  # no longer HTTP: whoever has the connection learns of its end as of any
        self._break_body("the connection was closed")
        if self._ended >= self._request_count or (self._manager is not None and self._manager.handler_cancellation):
            return None  # nothing is under way, or it is to end with its client, who cannot be told from one that left
        self.close()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._break_body("the connection was lost")
        super().connection_lost(exc)

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        self._ended += 1
        return super().finish_response(request, resp, start_time)

    def _break_body(self, why: str) -> None:
        body = self._body
        if body is None or body.is_eof() or body.exception() is not None:
            return
        if self._ended >= self._request_count:
            # Its request was answered and the rest is thrown away; aiohttp would wait out its time for it.
            body.feed_eof()
            return
        self._lingering_time = 0.0  # nothing will come that could be waited for
        body.set_exception(BodyEnded(why))
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
            log.info("malformed request", remote=request.remote, reason=str(message or exc)[:200])
            fault = errors.BadRequest("The request is not valid HTTP/1.1. Check its request line and headers.")
            # aiohttp's stand-in for a request that it could not read is one of HTTP/1.0; a server says its own version.
            request._version = HttpVersion11  # noqa: SLF001 - there is no public way
        else:
            log.error("request failed", request_id=request_id(request), exc_info=exc)
            fault = errors.ApiError("The service failed on this request. It is logged under the request id; try again.")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already; no error can follow it")
        response = fault.response(request_id(request), {hdrs.SERVER: SERVER})
        response.force_close()
        return response

    def leave_http(self) -> tuple[asyncio.Transport, bytes] | None:
        """Hand the connection over: its transport, and what arrived behind the request. None if it is gone.

        Reading is paused. aiohttp is told that the connection was lost: it drops all it holds for it, and what the
        request's handler returns afterwards is discarded. The transport's protocol must be replaced before the next
        await.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return None
        if transport.get_write_buffer_size() > 0:
            # Requests were pipelined before this one and their answers never read. Such a connection's flow control
            # stands somewhere that nobody who takes it over could know.
            transport.abort()
            return None
        early, self._message_tail = self._message_tail, b""
        transport.pause_reading()
        self.transport = None
        self.connection_lost(None)
        return transport, early


class Departed(web.StreamResponse):
    """What a handler returns for a connection that has left HTTP: aiohttp wants an answer, and sends nothing of it."""

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

    Bodies arrive as they were sent, compressed ones too: aiohttp would unpack them in one go on the event loop, also
    where nobody reads them, and would take one that was cut for a whole one (`aldea.payload` unpacks).
    """

    __slots__ = ()
    server_class: ClassVar[type[ServiceServer]] = ServiceServer

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        options = {**made._kwargs, "auto_decompress": False}  # noqa: SLF001 - as below
        server = self.server_class(
            made.request_handler,
            request_factory=_tidying(made.request_factory),
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - aiohttp has no public way to choose the connection's class
            **options,
        )
        server.first_request_seconds = self.app.get(FIRST_REQUEST, FIRST_REQUEST_SECONDS)
        return server


def _tidying(made: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
    """`made` for requests whose head was tidied first."""

    def make(message: Any, *rest: Any) -> web.BaseRequest:
        return made(tidied(message), *rest)

    return make


def leave_http(request: web.BaseRequest) -> tuple[asyncio.Transport, bytes] | None:
    """`ServiceConnection.leave_http` of this request's connection."""
    connection = request.protocol
    if not isinstance(connection, ServiceConnection):
        raise TypeError("the application must be run by aldea.server.ServiceRunner")
    return connection.leave_http()
