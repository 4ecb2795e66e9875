"""Sends one request to the STT servers: chooses one, sends the body, and tries another where that is safe."""

from collections.abc import Callable, Sequence

import structlog

from aldea import errors
from aldea.tasks import Deadline
from aldea.upstream import Upstream, Upstreams
from http_proxy import metrics
from http_proxy.upload import Upload
from http_proxy.upstream_connection import (
    ConnectFailed,
    Connection,
    ConnectionBroken,
    ResponseOverdue,
    UpstreamResponse,
)
from http_proxy.upstream_pool import Pool

log = structlog.get_logger("http_proxy.failover")


class _TryNext(Exception):
    """This server has not consumed the body; another one may be tried."""


class Failover:
    """Tries the servers in turn until one responds. Afterwards `server` and `connection` are those of the response.

    A second server is tried only where the first cannot have consumed the body: no connection, a connection that the
    server had closed while it was idle, one lost before the body was sent whole, or a response 503. All but the first
    need the body from its start, which is kept up to a bound (`Upload.replayable`).
    """

    def __init__(
        self,
        upstreams: Upstreams,
        pool: Pool,
        upload: Upload,
        head_for: Callable[[Upstream], bytes],
        *,
        first_byte_seconds: float,
        stall_seconds: float,
    ) -> None:
        """`head_for` makes the request's head for a server."""
        self._upstreams = upstreams
        self._pool = pool
        self._upload = upload
        self._head_for = head_for
        self._first_byte_seconds = first_byte_seconds
        self._stall_seconds = stall_seconds
        self._sent_whole = False
        self.server: Upstream | None = None
        self.connection: Connection | None = None

    async def request(self, candidates: Sequence[Upstream]) -> UpstreamResponse:
        """The first response of these servers. Raises BadGateway, GatewayTimeout, and the upload's errors."""
        for place, server in enumerate(candidates):
            try:
                return await self._request_one(server, last=place == len(candidates) - 1)
            except ConnectFailed as failure:
                self._upstreams.failed(server, str(failure))
                metrics.RETRIES.labels("no connection").inc()
            except _TryNext as reason:
                metrics.RETRIES.labels(str(reason)).inc()
        raise errors.BadGateway("No STT server can be reached. Try again in a few seconds.", retry_after=2)

    def close(self) -> None:
        """The request is over: keep the connection for the next one if it can be used, else end it."""
        if self.connection is None or self.server is None:
            return
        if self._sent_whole:
            self._pool.release(self.server, self.connection)
        else:
            # The server responded early and still waits for the body's rest: it would read the next request as that.
            self.connection.abort()
        self.connection = None

    async def _request_one(self, server: Upstream, *, last: bool) -> UpstreamResponse:
        self.server = server
        connection = self.connection = await self._pool.acquire(server)
        try:
            try:
                response = await self._send(connection)
            except ConnectionBroken as broken:
                if not (broken.unused and self._upload.replayable):
                    raise
                metrics.RETRIES.labels("closed while idle").inc()
                connection.abort()
                connection = self.connection = await self._pool.acquire(server, fresh=True)
                response = await self._send(connection)
        except ConnectionBroken as broken:
            self._upstreams.failed(server, str(broken))
            if self._upload.replayable and not self._sent_whole:
                raise _TryNext("lost before the body was sent") from broken
            log.warning("stt server connection lost", server=server.name, reason=str(broken))
            raise errors.BadGateway("The STT server was lost while it worked on this request. Try again.") from broken
        if response.head.code == 503 and self._upload.replayable and not last:
            self._upstreams.failed(server, "responded 503")
            connection.abort()
            raise _TryNext("answered 503")
        return response

    async def _send(self, connection: Connection) -> UpstreamResponse:
        try:
            self._upload.resume()
            self._sent_whole = False
            connection.start(self._head_for(self.server), self._upload.interrupt)  # type: ignore[arg-type]  # set before
            await self._send_body(connection)
            try:
                return await connection.response(self._first_byte_seconds)
            except ResponseOverdue:
                raise errors.GatewayTimeout(
                    f"Transcription took longer than {self._first_byte_seconds:g} s. For long audio use the parameter"
                    " callback=<url>: the result is sent there when it is ready."
                ) from None
        except BaseException:
            connection.abort()
            raise

    async def _send_body(self, connection: Connection) -> None:
        upload = self._upload
        chunked = upload.length is None
        for piece in upload.kept:
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        while not upload.complete and not connection.responded:
            piece = await upload.read()
            if piece:
                connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if connection.writing_paused:
                    await self._drain(connection)
        if upload.complete and not connection.responded:
            if chunked:
                connection.write(b"0\r\n\r\n")
            self._sent_whole = True

    async def _drain(self, connection: Connection) -> None:
        try:
            with Deadline(self._stall_seconds):
                await connection.drain()
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The STT server took nothing of the upload for {self._stall_seconds:g} s. Try again."
            ) from None
