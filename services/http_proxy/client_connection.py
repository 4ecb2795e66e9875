"""The client's side: how connections read uploads, and a way past aiohttp's router."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from aldea.service.lifecycle import KEEPALIVE_SECONDS, SHUTDOWN_SECONDS
from aldea.service.server import ServerHandler, ServiceConnection, ServiceRunner, ServiceServer

# An upload's bytes that wait for a slow server: reading pauses at twice this. With the event loop's own read (256,000
# bytes at most) it bounds what one upload can hold here.
READ_BUFFER: Final = 1 << 17
# How long an upload that was refused is read on and thrown away, so that the client sees the response and no reset.
LINGER_SECONDS: Final = 5.0

# What an application puts before its router: given the router's own handler, it returns another.
SHORTCUT: Final[web.AppKey[Callable[[ServerHandler], ServerHandler]]] = web.AppKey("shortcut")


class UploadConnection(ServiceConnection):
    """A connection that is called to read on at every piece of a body."""

    __slots__ = ()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called at each read of a body; without a pause before it there is nothing to do, and that costs something."""
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Server(ServiceServer):
    connection = UploadConnection


class UploadRunner(ServiceRunner):
    """Runs an application on `UploadConnection`s, whose requests it may handle before aiohttp's router."""

    __slots__ = ()
    server_class = _Server

    def handler(self, routed: ServerHandler) -> ServerHandler:
        shortcut = self.app.get(SHORTCUT)
        return routed if shortcut is None else shortcut(routed)


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
