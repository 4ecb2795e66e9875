"""Sends one request to the STT servers: chooses one, sends the body, and tries another where that is safe."""

from collections.abc import Callable
from typing import Final

import structlog

from aldea import errors
from aldea.numbers import retry_after_seconds
from aldea.upstream import Upstream, Upstreams
from aldea.upstream.attempts import Attempts
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

# When to come back if no server can be reached: the circuits know of none that will be looked at later.
RETRY_SECONDS: Final = 2.0
# The server lives and has no place for another request.
BUSY: Final = frozenset({429, 503})


class _TryNext(Exception):
    """This server has not consumed the body; another one may be tried."""


class Failover:
    """Tries the servers in turn until one responds. Afterwards `server` and `connection` are those of the response.

    A second server is tried only where the first cannot have consumed the body: no connection, a connection that the
    server had closed while it was idle, one lost before the body was sent whole, or a response 429 or 503. All but the
    first need the body from its start, which is kept up to a bound (`Upload.replayable`). The request counts as work of
    its server until `close`.
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
        self._held: Upstream | None = None
        self._busy_seconds: float | None = None  # when to come back to the last server that had no place
        self.server: Upstream | None = None
        self.connection: Connection | None = None

    async def request(self) -> UpstreamResponse:
        """The first response of a server.

        Raises BadGateway, ServiceUnavailable, GatewayTimeout, and the upload's errors.
        """
        with self._upstreams.attempts() as attempts:
            async for server in attempts:
                try:
                    response = await self._request_one(server, attempts)
                except ConnectFailed as failure:
                    self._upstreams.failed(server, str(failure))
                    metrics.RETRIES.labels("no connection").inc()
                except _TryNext as reason:
                    metrics.RETRIES.labels(str(reason)).inc()
                else:
                    self._held = attempts.keep()
                    return response
        if self._busy_seconds is not None:
            raise errors.ServiceUnavailable(
                "All STT servers that can be reached are busy. Try again shortly.",
                retry_after=max(RETRY_SECONDS, self._busy_seconds),
            )
        raise errors.BadGateway(
            "No STT server can be reached. Try again in a few seconds.",
            retry_after=max(RETRY_SECONDS, self._upstreams.retry_after()),
        )

    def close(self) -> None:
        """The request is over: keep the connection for the next one if it can be used, else end it."""
        if self._held is not None:
            self._upstreams.release(self._held)
            self._held = None
        if self.connection is None or self.server is None:
            return
        if self._sent_whole:
            self._pool.release(self.server, self.connection)
        else:
            # The server responded early and still waits for the body's rest: it would read the next request as that.
            self.connection.abort()
        self.connection = None

    async def _request_one(self, server: Upstream, attempts: Attempts) -> UpstreamResponse:
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
        if response.head.code in BUSY:
            seconds = retry_after_seconds(response.head.headers.get("Retry-After", ""))
            self._upstreams.busy(server, seconds)
            self._busy_seconds = seconds or 0.0
            if self._upload.replayable and not attempts.last:
                connection.abort()
                raise _TryNext(f"responded {response.head.code}")
        return response

    async def _send(self, connection: Connection) -> UpstreamResponse:
        try:
            self._upload.resume()
            self._sent_whole = False
            upload = self._upload
            head = self._head_for(self.server)  # type: ignore[arg-type]  # set before
            connection.start(head, upload.interrupt, follows=bool(upload.kept) or upload.at_hand)
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
            await connection.drain(self._stall_seconds)
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The STT server took nothing of the upload for {self._stall_seconds:g} s. Try again."
            ) from None
