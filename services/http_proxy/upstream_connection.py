"""One HTTP/1.1 connection to an STT server: one request at a time, bodies written as they come.

A general client spends more time per request on sessions, redirects, cookies and typed responses than this proxy spends
on everything else. Here a request is bytes written to a transport. A plain response (http_proxy.raw.response_head) is
a head that one expression reads and a counted body; any other one is read by aiohttp's parser into its stream.
"""

import asyncio
import os
import select
from collections.abc import Callable
from typing import Final, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader

from aldea.flow_control import FlowControl
from aldea.standstill import Later
from http_proxy.raw.body import Body
from http_proxy.raw.response_head import PlainResponse, plain_response

# Bytes of a response that wait for a slow client, and bytes of an upload that wait for a slow server: each side is
# paused beyond this. Large enough for one read of the event loop to pass in one piece.
RESPONSE_BUFFER: Final = 1 << 16
UPLOAD_BUFFER: Final = 1 << 18
# A reused connection that is lost this soon, before any byte of a response, was closed by the server while it was idle.
RACE_SECONDS: Final = 0.25


class UpstreamError(Exception):
    """What goes wrong on the way to an STT server or back; `str()` of it says what, for the log."""


class ConnectFailed(UpstreamError):
    """No connection to the server could be made."""


class ConnectionBroken(UpstreamError):
    """The connection ended, or brought something that is no HTTP response, before a response began.

    `unused`: the server had closed it while it was idle; the request never reached anything.
    """

    def __init__(self, reason: str, *, unused: bool = False) -> None:
        super().__init__(reason)
        self.unused = unused


class ResponseOverdue(UpstreamError):
    """No response began in time."""


class ResponseBroken(UpstreamError):
    """The connection ended inside a response's body."""


class ResponseStalled(UpstreamError):
    """The server stopped in the middle of its response."""


class UpstreamResponse(NamedTuple):
    """A response that has begun: its head, and its body as a stream."""

    head: RawResponseMessage | PlainResponse
    body: StreamReader | Body


class Connection(BaseProtocol):
    """One connection. `start` begins a request, `response` waits for its response, then the pool takes it back."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._response: asyncio.Future[UpstreamResponse] | None = None
        self._on_response: Callable[[], None] | None = None
        self._body: StreamReader | Body | None = None
        self._counted: Body | None = None  # the body, if the response is plain
        self._parsing = False  # the parser has got something of this response
        self._broken: ConnectionBroken | None = None
        self._must_close = False
        self._look: select.poll | None = None
        self._looked_at: int | None = None
        self._head = b""
        self._flow: FlowControl | None = None
        self.reused = False
        self.started = 0.0
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.set_write_buffer_limits(high=UPLOAD_BUFFER)
            self._flow = FlowControl(self._loop, self.transport)
        self._parser = HttpResponseParser(
            self,
            self._loop,
            RESPONSE_BUFFER,
            payload_exception=ResponseBroken,
            read_until_eof=True,
            auto_decompress=False,
        )

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._flow is not None:
            self._flow.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._flow is not None:
            self._flow.resume()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called at each read of a body; without a pause before it there is nothing to do, and that costs something."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def start(self, head: bytes, on_response: Callable[[], None], *, follows: bool = False) -> None:
        """Begin a request. `on_response` is called once a response has begun or cannot come any more.

        The head goes out with the first piece of the body, or at the end of the loop's turn. `follows`: that piece is
        written before the caller waits for anything.
        """
        self._response = self._loop.create_future()
        self._on_response = on_response
        self.started = self._loop.time()
        if self._broken is not None or self.transport is None:
            self._fail(self._broken or ConnectionBroken("the connection was closed", unused=True))
        else:
            self._head = head
            if not follows:
                self._loop.call_soon(self._send_head)

    def write(self, data: bytes) -> None:
        """Send a piece of the request's body; after the connection was lost it goes nowhere."""
        if self.transport is None:
            return
        head, self._head = self._head, b""
        if head and data:
            self.transport.writelines((head, data))
        else:
            # Never an empty piece among others: from Python 3.12 on it stays in the transport's buffer for good, which
            # is then written over and over, and a lost connection is never reported.
            self.transport.write(head or data)

    def _send_head(self) -> None:
        if self._head:
            self.write(b"")

    async def drain(self, seconds: float) -> None:
        """Wait until the server has taken enough of what was written, or a response has begun or cannot come.

        Raises TimeoutError once it took nothing for `seconds`.
        """
        if self._flow is not None and not self.responded:
            await self._flow.drained(seconds)

    @property
    def responded(self) -> bool:
        """Whether the response has begun, or cannot come any more."""
        return self._response is not None and self._response.done()

    async def response(self, seconds: float | None = None) -> UpstreamResponse:
        """Wait for the response's head, at most so long. Raises ConnectionBroken, ResponseOverdue."""
        if self._response is None:
            raise RuntimeError("no request was started")
        if seconds is None or self._response.done():
            return await self._response
        overdue = Later(self._loop, seconds, self._overdue)
        try:
            return await self._response
        finally:
            overdue.cancel()

    def _overdue(self) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(ResponseOverdue())

    @property
    def reusable(self) -> bool:
        """Whether the response was read to its end and the server keeps the connection."""
        return (
            self.transport is not None
            and not self.transport.is_closing()
            and not self._must_close
            and self._broken is None
            and (self._body is None or self._body.is_eof())
        )

    def stale(self) -> bool:
        """Whether the server has closed this idle connection already, which the event loop may not have seen yet."""
        if self.transport is None or self.transport.is_closing() or self._broken is not None:
            return True
        if self._look is None:
            # A descriptor of our own, since the transport's may be closed and given to somebody else at any time.
            self._looked_at = os.dup(self.transport.get_extra_info("socket").fileno())
            self._look = select.poll()
            self._look.register(self._looked_at, select.POLLIN)
        # An idle server has nothing to say: what can be read is the end, or nothing that was requested.
        return bool(self._look.poll(0))

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        self._on_response = None
        self._head = b""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._counted is not None:
            if self._counted.feed(data):
                self._give_up(ConnectionBroken("the server sent more than its response"))
            return
        if not self._parsing and self._response is not None and not self._response.done():
            head = plain_response(data)
            if head is not None:
                self._begin_plain(head, data)
                return
        self._parse(data)

    def _begin_plain(self, head: PlainResponse, data: bytes) -> None:
        body = self._counted = Body(self._loop, head.length, RESPONSE_BUFFER, self._pause, self._resume)
        rest = body.feed(data[head.size :]) if len(data) > head.size else b""
        self._begin(head, body)
        if rest:
            self._give_up(ConnectionBroken("the server sent more than its response"))

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            return
        self._parsing = True
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - whatever the parser found, it is no HTTP response
            self._give_up(ConnectionBroken(f"the response is not HTTP: {type(error).__name__}"))
            return
        for head, body in messages:
            if upgraded or head.code == 101:
                self._give_up(ConnectionBroken("the server switched protocols without a request to do so"))
                return
            if head.code >= 200:  # interim responses (RFC 9110 section 15.2) say nothing that matters here
                self._begin(head, body)

    def _begin(self, head: RawResponseMessage | PlainResponse, body: StreamReader | Body) -> None:
        if self._response is None or self._response.done():
            self._give_up(ConnectionBroken("the server sent a response to no request"))
            return
        self._body = body
        self._must_close = self._must_close or bool(head.should_close)
        self._response.set_result(UpstreamResponse(head, body))
        self._notify()

    def _pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def finish(self) -> None:
        """The request is over; the next may start."""
        self._response = self._on_response = self._body = self._counted = None
        self._parsing = False
        self.reused = True
        self.idle_since = self._loop.time()

    def idle(self) -> float:
        """Seconds since `finish`."""
        return self._loop.time() - self.idle_since

    def eof_received(self) -> None:
        return

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._looked_at is not None:
            os.close(self._looked_at)
            self._looked_at = self._look = None
        parser = self._parser
        if parser is not None:
            try:
                parser.feed_eof()
            except Exception as error:  # noqa: BLE001 - an incomplete body, which its reader gets
                if self._body is not None and not self._body.is_eof():
                    self._body.set_exception(ResponseBroken(str(error) or type(error).__name__))
        if self._body is not None and not self._body.is_eof() and self._body.exception() is None:
            self._body.set_exception(ResponseBroken("the server closed the connection inside its response"))
        self._parser = None
        unused = self.reused and self._loop.time() - self.started < RACE_SECONDS
        reason = f"{type(exc).__name__}: {exc}" if exc is not None else "the server closed the connection"
        self._fail(ConnectionBroken(reason, unused=unused))
        if self._flow is not None:
            self._flow.resume()
        super().connection_lost(exc)

    def _give_up(self, broken: ConnectionBroken) -> None:
        self._must_close = True
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(ResponseBroken(str(broken)))
        self._fail(broken)
        self.abort()

    def _fail(self, broken: ConnectionBroken) -> None:
        self._broken = self._broken or broken
        if self._response is not None and not self._response.done():
            self._response.set_exception(broken)
            self._response.exception()  # marks it as retrieved: there may be no waiter any more
            self._notify()

    def _notify(self) -> None:
        if self._on_response is not None:
            self._on_response()
        # A server that has responded may take nothing more; a waiting writer must check again.
        if self._flow is not None:
            self._flow.wake()
