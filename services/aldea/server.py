"""The HTTP server's connections: parse errors in the contract's shape, and connections that can leave HTTP."""

import asyncio
from typing import ClassVar, Final

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from aldea import errors
from aldea.headers import request_id

log = structlog.get_logger("aldea.server")

# A connection that has not sent its first request's head within this is closed, however slowly it still sends: every
# balancer sends a head at once, and who holds thousands of half heads would hold thousands of sockets.
FIRST_REQUEST_SECONDS: Final = 30.0
# The application's own figure for it.
FIRST_REQUEST: Final = web.AppKey("first_request", float)


class ServiceConnection(RequestHandler):
    """One connection. aiohttp's own, with our answers to what is not HTTP and a way out of HTTP."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        server = self._manager
        if self._keepalive_handle is not None and isinstance(server, ServiceServer):
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + server.first_request_seconds
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

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
        else:
            log.error("request failed", request_id=request_id(request), exc_info=exc)
            fault = errors.ApiError("The service failed on this request. It is logged under the request id; try again.")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already; no error can follow it")
        response = fault.response(request_id(request))
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
    """Runs an application on `ServiceConnection`s."""

    __slots__ = ()
    server_class: ClassVar[type[ServiceServer]] = ServiceServer

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = self.server_class(
            made.request_handler,
            request_factory=made.request_factory,
            loop=made._loop,  # noqa: SLF001 - aiohttp has no public way to choose the connection's class
            **made._kwargs,  # noqa: SLF001
        )
        server.first_request_seconds = self.app.get(FIRST_REQUEST, FIRST_REQUEST_SECONDS)
        return server


def leave_http(request: web.BaseRequest) -> tuple[asyncio.Transport, bytes] | None:
    """`ServiceConnection.leave_http` of this request's connection."""
    connection = request.protocol
    if not isinstance(connection, ServiceConnection):
        raise TypeError("the application must be run by aldea.server.ServiceRunner")
    return connection.leave_http()
