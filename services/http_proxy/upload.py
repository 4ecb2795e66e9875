"""One upload: read from the client in pieces, counted, capped, watched, kept while it may be needed again."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from aldea import content_coding, errors
from aldea.standstill import SECOND_LOOK_SECONDS, lived
from http_proxy.raw.body import Body

# An upload of which no more than this was read can be sent to another server from the start. It covers short clips
# whole, and costs no more than what the buffers on the way hold anyway.
REPLAY_BYTES: Final = 1 << 18
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """See the settings of the same names."""

    max_bytes: int
    stall_seconds: float
    min_bytes_per_second: float


class UploadBroken(errors.UnprocessableEntity):
    """The body ended before its end."""


class Upload:
    """The body of one request.

    `read` returns pieces until b"". `interrupt` ends a waiting `read` early, with b"" as well: the server has responded
    before it had everything. `refuse` makes it raise. A piece that was read is kept for a second server up to
    REPLAY_BYTES; beyond that `replayable` is False.
    """

    def __init__(self, request: web.BaseRequest, limits: UploadLimits) -> None:
        self._request = request
        self._content = request.content
        content: object = request.content
        # Of a plain upload, whose head has neither a coding nor an expectation.
        self._body = content if isinstance(content, Body) else None
        self._limits = limits
        self._waited = 0.0
        self._timeout: asyncio.Timeout | None = None
        self._interrupted = False
        self._refusal: errors.ApiError | None = None
        # RFC 9110 section 10.1.1: of an HTTP/1.0 client the expectation is ignored.
        self._continue_due = (
            self._body is None
            and request.headers.get("Expect", "").lower() == "100-continue"
            and request.version >= HttpVersion11
        )
        self.length = request.content_length
        self.received = 0
        self._peeked = b""
        self.complete = False
        self.kept: list[bytes] = []
        self.replayable = True

    def check(self) -> None:
        """Refuse what can be refused by the head alone. Raises LengthRequired, PayloadTooLarge, BadRequest."""
        coding = "" if self._body is not None else self._check_codings()
        if self.length is None and not coding:
            raise errors.LengthRequired(
                "The request has neither Content-Length nor 'Transfer-Encoding: chunked'. Send the audio as its body."
            )
        if self.length == 0:
            raise errors.BadRequest("The request's body is empty. Send the audio as its body.")
        if self.length is not None and self.length > self._limits.max_bytes:
            raise self._too_large(f"{self.length} bytes")

    def _check_codings(self) -> str:
        """The transfer coding. Raises BadRequest for one, or a content coding, that is not taken."""
        coding = self._request.headers.get("Transfer-Encoding", "").strip().lower()
        if coding not in {"", "chunked"}:
            # It ends at this hop (RFC 9112 section 6.1): the server would take what is inside for the audio.
            raise errors.BadRequest(
                f"The request's Transfer-Encoding is {coding[:40]!r}; only 'chunked' is taken. Send the audio as it is."
            )
        # The server decompresses it, or refuses it; a coding that no server knows is refused here.
        content_coding.coding(",".join(self._request.headers.getall(hdrs.CONTENT_ENCODING, [])))
        return coding

    @property
    def at_hand(self) -> bool:
        """Whether the next `read` returns a piece, or raises, without waiting; False also where that is not known."""
        return bool(self._peeked) or (self._body is not None and self._body.at_hand)

    async def read(self) -> bytes:
        """The next piece; b"" at the end or after `interrupt`.

        Raises SlowUpload, PayloadTooLarge, UploadBroken, or what `refuse` was given.
        """
        piece, self._peeked = self._peeked, b""
        if not piece:
            body = self._body
            if body is not None and body.at_hand and self._refusal is None:
                piece = body.read_nowait()  # as `_next` would
            else:
                piece = await self._next()
        if piece:
            self._count(piece)
        self.complete = self._content.at_eof()
        return piece

    async def peek(self, size: int) -> bytes:
        """At least the next `size` bytes, or all that are left; `read` returns them once more. Raises as it does."""
        while len(self._peeked) < size and not self._content.at_eof():
            piece = await self._next()
            if not piece:
                break
            self._peeked += piece
        return self._peeked

    async def _next(self) -> bytes:
        self._raise_refusal()
        try:
            piece = self._content.read_nowait()
            if not piece and not self._content.at_eof():
                piece = await self._wait()
        except errors.ApiError:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp raises what its parser or the transport found
            # The client has left, or its chunked coding is broken; either way the rest will not come.
            raise UploadBroken(
                f"The body broke off after {self.received} bytes ({type(error).__name__}). Send it again."
            ) from None
        return piece

    async def _wait(self) -> bytes:
        if self._continue_due:
            self._continue_due = False
            if self._request.transport is not None:
                self._request.transport.write(CONTINUE)
        if self._stopped():
            return b""
        loop = asyncio.get_running_loop()
        began = lived(loop)
        until = began + self._patience()
        looked = False
        try:
            while True:
                left = max(until - lived(loop), SECOND_LOOK_SECONDS if looked else 0.0)
                try:
                    async with asyncio.timeout(left) as self._timeout:
                        return await self._content.readany()
                except TimeoutError:
                    self._raise_refusal()
                    if self._stopped():
                        return b""
                if lived(loop) < until:
                    continue  # the process was suspended, which is not the client's fault
                if looked:
                    raise errors.SlowUpload(
                        f"The upload stood at {self.received} bytes after {self._waited + lived(loop) - began:.0f} s of"
                        f" waiting for it. Send at least {self._limits.min_bytes_per_second:g} bytes a second."
                    )
                looked = True  # what came during a standstill is read only after the timer has fired
        finally:
            self._timeout = None
            self._waited += lived(loop) - began

    def _patience(self) -> float:
        """Seconds that the next piece may take. Only waiting for the client counts, not for the server."""
        stall = self._limits.stall_seconds
        rate = self._limits.min_bytes_per_second
        if rate <= 0:
            return stall
        # The whole wait is at most stall_seconds plus the time that the received bytes take at the lowest rate.
        return max(0.0, min(stall, stall + self.received / rate - self._waited))

    def _count(self, piece: bytes) -> None:
        self.count(piece)
        self.keep(piece)

    def count(self, piece: bytes) -> None:
        """Count what came. Raises PayloadTooLarge."""
        self.received += len(piece)
        if self.received > self._limits.max_bytes:
            raise self._too_large(f"more than {self._limits.max_bytes} bytes")

    def keep(self, piece: bytes) -> None:
        """Keep what is sent on, up to REPLAY_BYTES of what came."""
        if self.replayable:
            self.kept.append(piece)
            if self.received > REPLAY_BYTES:
                self.replayable = False
                self.kept.clear()

    def _too_large(self, got: str) -> errors.PayloadTooLarge:
        return errors.PayloadTooLarge(
            f"The body has {got}; at most {self._limits.max_bytes} are allowed. Split or compress the audio."
        )

    def forget(self) -> None:
        """A response has begun: what was kept is not needed again."""
        self.kept.clear()
        self.replayable = False

    def interrupt(self) -> None:
        """End a waiting `read`, and each later one that would have to wait."""
        self._interrupted = True
        self._wake()

    def _stopped(self) -> bool:
        return self._interrupted

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def resume(self) -> None:
        """Take `interrupt` back, for a second server."""
        self._interrupted = False

    def refuse(self, error: errors.ApiError) -> None:
        """Make `read` raise `error`, at once if it is waiting. Without effect once the upload is complete."""
        self._refusal = error
        self._wake()

    def _wake(self) -> None:
        # An expired timeout wakes the reader by itself, and cannot be rescheduled.
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0.0)  # long ago: at once
