"""Relays the response to the client: piece by piece with back-pressure, reading the audio's duration from it."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from aldea.flow_control import FlowControl
from aldea.headers import RATE_LIMITS
from aldea.tasks import Deadline
from http_proxy.compressed_duration import CODINGS, CompressedScanner
from http_proxy.duration import DurationScanner
from http_proxy.heads import response_head
from http_proxy.own_id import OwnId
from http_proxy.raw.response_head import PlainResponse
from http_proxy.upstream_connection import ResponseStalled, UpstreamResponse

# A piece of at most this size is copied behind the response's head; a larger one would cost more than a second write.
JOIN_BYTES: Final = 1 << 14


class Relayed(web.StreamResponse):
    """Represents a response that was written to the connection already; aiohttp has nothing left to send."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        if not keep_alive:
            self.force_close()

    @property
    def keep_alive(self) -> bool:
        """Whether the connection can carry another request."""
        return self._keep_alive is None

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002 - the base class' signature
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        return None


# They hold nothing of a request, so these two serve all.
RELAYED: Final = Relayed(keep_alive=True)
RELAYED_LAST: Final = Relayed(keep_alive=False)


def coding_of(response: UpstreamResponse) -> str:
    """The response's content coding, in lower case; empty if it has none."""
    if isinstance(response.head, PlainResponse):
        return ""
    coding: str = response.head.headers.get(hdrs.CONTENT_ENCODING, "")
    return coding.strip().lower().replace("identity", "") if coding else ""


def scanner_for(response: UpstreamResponse) -> DurationScanner | None:
    """A scanner for the response's body if it may report audio: a success."""
    if not 200 <= response.head.code < 300:
        return None
    return CompressedScanner() if coding_of(response) in CODINGS else DurationScanner()


async def next_piece(response: UpstreamResponse, stall_seconds: float) -> bytes:
    """The next piece of the body, b"" at its end. Raises ResponseBroken, ResponseStalled."""
    body = response.body
    piece: bytes = body.read_nowait()
    if piece or body.at_eof():
        return piece
    try:
        with Deadline(stall_seconds):
            piece = await body.readany()
    except TimeoutError:
        raise ResponseStalled(f"the server's response stalled for {stall_seconds:g} s") from None
    return piece


class Relay:
    """Passes one response on. `status`, `bytes_out` and `client_left` say how that went."""

    def __init__(
        self,
        request: web.BaseRequest,
        response: UpstreamResponse,
        scanner: DurationScanner | None,
        *,
        request_id: str,
        keep_alive: bool,
        stall_seconds: float,
    ) -> None:
        self._request = request
        self._response = response
        self._scanner = scanner
        self._stall_seconds = stall_seconds
        # An error's body is read whole, and made anew (http_proxy.refusal).
        self._own_id = None if scanner is None or coding_of(response) else OwnId(request_id)
        head = response.head
        length: int | str | None
        if isinstance(head, PlainResponse):
            length = head.length
        else:
            length = None if head.chunked else head.headers.get(hdrs.CONTENT_LENGTH)
            if length is None and head.code in {204, 304}:
                length = "0"
        self._chunked = length is None and request.version >= HttpVersion11
        self._keep_alive = keep_alive and (length is not None or self._chunked)
        self._head = response_head(
            status=head.code,
            reason=head.reason,
            raw_headers=head.raw_headers,
            length=int(length) if length is not None else None,
            request_id=request_id,
            keep_alive=self._keep_alive,
            chunked=self._chunked,
            more=request.get(RATE_LIMITS, {}),
        )
        self.status = head.code
        self.bytes_out = 0

    @property
    def client_left(self) -> bool:
        """Whether the client has closed its connection."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    async def run(self, before_end: Callable[[], Awaitable[None]]) -> Relayed:
        """Pass the response on. `before_end` is awaited before the client can see that it is complete.

        Raises ResponseBroken and ResponseStalled; the client's connection must be cut then: it was promised more.
        """
        body = self._response.body
        while True:
            piece = body.read_nowait()
            if not piece and not body.at_eof():
                self._write(b"")  # the head at least, while the server takes its time
                piece = await next_piece(self._response, self._stall_seconds)
            if self._scanner is not None:
                self._scanner.feed(piece)
            self.bytes_out += len(piece)
            if self._own_id is not None:
                piece = self._own_id.feed(piece, last=body.at_eof())
            if body.at_eof():
                break
            if piece:
                await self._pass(piece)
            if self.client_left and (self._scanner is None or self._scanner.done):
                break  # the client has left, and the duration is known
        await before_end()
        if piece:
            self._write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece) if self._chunked else piece)
        else:
            self._write(b"0\r\n\r\n" if self._chunked else b"")
        await self._drain()
        return RELAYED if self._keep_alive and not self.client_left else RELAYED_LAST

    def cut(self) -> Relayed:
        """End the client's connection in the middle: the only way to say that what it got is not the whole response."""
        if self._request.transport is not None:
            self._request.transport.abort()
        return RELAYED_LAST

    async def _pass(self, piece: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
        await self._drain()

    def _write(self, data: bytes) -> None:
        """Send a piece, and the head with the first: two writes would be two packets."""
        transport = self._request.transport
        head, self._head = self._head, b""
        if transport is not None and not transport.is_closing() and (head or data):
            if len(data) <= JOIN_BYTES:
                data = head + data
            elif head:
                transport.write(head)
            transport.write(data)
            # aiohttp must know that a response has begun, or it would begin one of its own after a failure.
            self._request.writer.output_size += len(data)

    async def _drain(self) -> None:
        flow: FlowControl | None = getattr(self._request.protocol, "flow", None)
        if flow is None or not flow.paused or self.client_left:
            return
        try:
            await flow.drained(self._stall_seconds)
        except TimeoutError:
            # This client counts as lost. The server did its work, so its response is read on for what it reports.
            if self._request.transport is not None:
                self._request.transport.abort()
