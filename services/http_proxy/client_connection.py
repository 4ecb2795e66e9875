"""The client's side: how connections read uploads, and ways past aiohttp: past its router, or past all of it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from aldea.service.lifecycle import KEEPALIVE_SECONDS, SHUTDOWN_SECONDS
from aldea.service.server import ServerHandler, ServiceConnection, ServiceRunner, ServiceServer
from http_proxy.raw.connection import RawConnection, RawHandler

# An upload's bytes that wait for a slow server: reading pauses at twice this. With the event loop's own read (256,000
# bytes at most) it bounds what one upload can hold here.
READ_BUFFER: Final = 1 << 17
# How long an upload that was refused is read on and thrown away, so that the client sees the response and no reset.
LINGER_SECONDS: Final = 5.0

# What an application puts before its router: given the router's own handler, it returns another.
SHORTCUT: Final[web.AppKey[Callable[[ServerHandler], ServerHandler]]] = web.AppKey("shortcut")
# What handles the requests that are read without aiohttp (http_proxy.raw); without it aiohttp reads all of them.
RAW: Final[web.AppKey[RawHandler]] = web.AppKey("raw")


class UploadConnection(ServiceConnection):
    """A connection that is called to read on at every piece of a body."""

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called at each read of a body; without a pause before it there is nothing to do, and that costs something."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class UploadServer(ServiceServer):
    """Makes a `RawConnection` for each connection that is accepted, if there is a handler for its requests."""

    connection = UploadConnection
    keepalive_seconds = KEEPALIVE_SECONDS
    linger_seconds = LINGER_SECONDS
    read_buffer = READ_BUFFER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.raw_connections: set[RawConnection] = set()
        self.raw_handler: RawHandler | None = None

    def __call__(self) -> RequestHandler:
        if self.raw_handler is None:
            return super().__call__()
        made: Any = RawConnection(self, self.raw_handler, self._loop)
        return cast("RequestHandler", made)  # the event loop needs no more of it than an asyncio.Protocol

    def aiohttp_connection(self) -> ServiceConnection:
        """For a raw connection whose next request is not plain."""
        return cast("ServiceConnection", super().__call__())

    def pre_shutdown(self) -> None:
        super().pre_shutdown()
        for connection in tuple(self.raw_connections):
            connection.close()

    async def shutdown(self, timeout: float | None = None) -> None:
        await asyncio.gather(
            super().shutdown(timeout), *(connection.shutdown(timeout) for connection in tuple(self.raw_connections))
        )


class UploadRunner(ServiceRunner):
    """Runs an application on `UploadConnection`s, whose requests it may handle before aiohttp's router."""

    __slots__ = ()
    server_class = UploadServer

    def handler(self, routed: ServerHandler) -> ServerHandler:
        shortcut = self.app.get(SHORTCUT)
        return routed if shortcut is None else shortcut(routed)

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if isinstance(server, UploadServer):
            server.raw_handler = self.app.get(RAW)
        return server


def upload_runner(app: web.Application) -> web.BaseRunner:
    """What `aldea.service.lifecycle.run` serves the http-proxy with."""
    options: dict[str, Any] = {
        "handle_signals": False,
        "access_log": None,
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "shutdown_timeout": SHUTDOWN_SECONDS,
        "read_bufsize": READ_BUFFER,
        "lingering_time": LINGER_SECONDS,
    }
    return UploadRunner(app, **options)
