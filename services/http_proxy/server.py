"""The client's side: connections that tell a broken-off upload at once, and still answer a client that half-closed."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

from aiohttp import StreamReader, web

from aldea.server import ServiceConnection, ServiceRunner, ServiceServer
from aldea.service import KEEPALIVE_SECONDS, SHUTDOWN_SECONDS

# An upload's bytes that wait for a slow server: reading pauses at twice this. With the event loop's own read (256,000
# bytes at most) it bounds what one upload can hold here.
READ_BUFFER: Final = 1 << 17
# How long an upload that was refused is read on and thrown away, so that the client sees the answer and no reset.
LINGER_SECONDS: Final = 5.0

Answering: TypeAlias = Callable[[Any], Awaitable[web.StreamResponse]]
# What an application puts before its router: given the router's own way of answering, it returns another.
SHORTCUT: Final[web.AppKey[Callable[[Answering], Answering]]] = web.AppKey("shortcut")


class BodyEnded(ConnectionError):
    """The client's side of the connection ended, or made no sense, inside a body."""


class UploadConnection(ServiceConnection):
    """A connection that learns what happens to a body after its request's handler was started."""

    __slots__ = ("_body", "_ended")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._body: StreamReader | None = None  # of the latest request
        self._ended = 0  # requests whose handler has returned

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._messages:
            return
        message, body = self._messages[-1]
        if hasattr(message, "method"):
            self._body = body
        else:
            # What the parser refuses becomes a queued answer 400 for a "next" request. If it was the present one's
            # body that made no sense (a broken chunk), its handler would wait for the rest until its deadline.
            self._break_body("its chunked coding is broken")

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called at each read of a body; without a pause before it there is nothing to do, and that costs something."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio: true keeps the transport open
        """The client closed its sending side (RFC 9112 section 9.6): what is under way is still answered."""
        self._break_body("the connection was closed")
        if self._ended >= self._request_count:
            return None
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


class _Server(ServiceServer):
    connection = UploadConnection


class UploadRunner(ServiceRunner):
    """Runs an application on `UploadConnection`s; bodies arrive as they were sent, compressed ones too."""

    __slots__ = ()
    server_class = _Server

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if (shortcut := self.app.get(SHORTCUT)) is not None:
            handler: Any = shortcut(server.request_handler)
            server.request_handler = handler
        return server


def upload_runner(app: web.Application) -> web.BaseRunner:
    """What `aldea.service.run` serves the http-proxy with."""
    options: dict[str, Any] = {
        "handle_signals": False,
        "access_log": None,
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "shutdown_timeout": SHUTDOWN_SECONDS,
        "auto_decompress": False,
        "read_bufsize": READ_BUFFER,
        "lingering_time": LINGER_SECONDS,
    }
    return UploadRunner(app, **options)
