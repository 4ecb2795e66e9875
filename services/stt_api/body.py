"""A request's body as it comes: decompressed, counted, in time. What is wrong with it is one of the contract's errors.

Small bodies are `aldea.service.payload`'s; these pass piece by piece.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable
from typing import Final, TypeVar

from aiohttp import ClientError, MultipartReader, hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.multipart import BodyPartReader

from aldea.content_coding import Decompressor
from aldea.errors import BadRequest, SlowUpload, UnprocessableEntity
from aldea.faults import of_body
from aldea.standstill import lived
from aldea.tasks import Deadline

T = TypeVar("T")

# An upload that brings nothing for so long has stalled.
UPLOAD_SECONDS: Final = 30.0
# Below it, on average over the time that was spent waiting for the client, an upload is too slow (as in http_proxy).
MIN_BYTES_PER_SECOND: Final = 500
# The most that is read at a time.
CHUNK_BYTES: Final = 64 * 1024
# A line of a multipart form: a boundary or a header.
MAX_LINE_BYTES: Final = 8190
# Bytes of a form that may come before its file.
MAX_FIELDS_BYTES: Final = 1 << 20
# How often it is looked whether the client is still there.
PRESENCE_SECONDS: Final = 0.5
# tcpi_state of an established connection (Linux, include/net/tcp_states.h).
_ESTABLISHED: Final = 1


class Body:
    """The body of a request, decompressed; a stream as aiohttp's multipart reader reads it too."""

    def __init__(self, request: web.Request) -> None:
        """Raises BadRequest for an unknown Content-Encoding."""
        self._content = request.content
        self._decompressor = Decompressor(",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])))
        self._ready = b""
        self._ended = False
        self._received = 0
        self._waited = 0.0  # seconds spent waiting for the client

    async def read(self, size: int = CHUNK_BYTES) -> bytes:
        """At most `size` bytes, none at the end. Raises BadRequest, SlowUpload, UnprocessableEntity."""
        while not self._ready and not self._ended:
            await self._receive()
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    async def readline(self, *, max_line_length: int = MAX_LINE_BYTES) -> bytes:
        """A line with its end, or what there is at the end. Raises as `read`, and LineTooLong."""
        while (end := self._ready.find(b"\n") + 1) == 0 and not self._ended:
            if len(self._ready) > max_line_length:
                raise LineTooLong(self._ready[:100], max_line_length)
            await self._receive()
        if end > max_line_length:
            raise LineTooLong(self._ready[:100], max_line_length)
        line, self._ready = (self._ready[:end], self._ready[end:]) if end else (self._ready, b"")
        return line

    def unread_data(self, data: bytes) -> None:
        """Have the next read return this first."""
        self._ready = bytes(data) + self._ready

    def at_eof(self) -> bool:
        """Whether nothing more comes."""
        return self._ended and not self._ready

    async def _receive(self) -> None:
        if not self._decompressor.waiting:
            data = await self._wait()
            if not data:
                self._decompressor.end()
                self._ended = True
                return
            self._decompressor.feed(data)
        self._ready += self._decompressor.read()

    async def _wait(self) -> bytes:
        loop = asyncio.get_running_loop()
        began = lived(loop)
        try:
            data = await in_time(self._content.read(CHUNK_BYTES))
        except Exception as error:
            fault = of_body(error)
            if fault is None and isinstance(error, ConnectionError | ClientError):
                fault = UnprocessableEntity(f"The body broke off after {self._received} bytes. Send all of it.")
            if fault is None:
                raise
            raise fault from error
        self._received += len(data)
        self._waited += lived(loop) - began
        if self._waited > UPLOAD_SECONDS and self._received < self._waited * MIN_BYTES_PER_SECOND:
            raise SlowUpload(
                f"The body came at {self._received / self._waited:.0f} bytes/s; send at least {MIN_BYTES_PER_SECOND}."
            )
        return data


async def plain_body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The request's body. Raises BadRequest, SlowUpload, UnprocessableEntity."""
    body = Body(request)
    while chunk := await body.read():
        yield chunk


async def multipart_body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The first file of a multipart form. Raises as `plain_body`."""
    body, after = Body(request), 0
    try:
        async for chunk in _file_in(MultipartReader(request.headers, body)):  # type: ignore[arg-type]
            yield chunk
        # What follows is of no use, but a body that is cut there is no whole one.
        while rest := await body.read():
            if (after := after + len(rest)) > MAX_FIELDS_BYTES:
                raise BadRequest(f"The multipart form has more than {MAX_FIELDS_BYTES} bytes behind its file.")
    except (ValueError, AssertionError, RuntimeError, BadHttpMessage) as error:
        # What aiohttp raises for forms that it cannot read; its texts may quote the form.
        raise BadRequest(
            f"The multipart form cannot be read: {_form_fault(error)}. Send it as RFC 7578 says, the audio in a field "
            "called 'file'."
        ) from error


def _form_fault(error: Exception) -> str:
    if isinstance(error, LineTooLong):
        return f"a boundary or a header is longer than {MAX_LINE_BYTES} bytes"
    if isinstance(error, BadHttpMessage):
        return "a part's headers are malformed or too many"
    return "its boundary or its encoding does not fit"


async def _file_in(form: MultipartReader) -> AsyncGenerator[bytes, None]:
    fields = 0
    while (part := await form.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise BadRequest("The multipart form has another one in it; send the audio in a field called 'file'.")
        is_file = bool(part.filename) or part.name in {"file", "audio"}
        while chunk := await part.read_chunk(CHUNK_BYTES):
            if is_file:
                yield bytes(chunk)
            elif (fields := fields + len(chunk)) > MAX_FIELDS_BYTES:
                raise BadRequest(
                    f"The multipart form's fields are larger than {MAX_FIELDS_BYTES} bytes before its file."
                )
        if not part.at_eof():
            raise UnprocessableEntity("The body broke off: the multipart form has no end. Send all of it.")
        if is_file:
            return
    raise BadRequest("The multipart form has no file; send one in a field called 'file'.")


async def in_time(reading: Awaitable[T]) -> T:
    """One step of reading a body. Raises SlowUpload after UPLOAD_SECONDS."""
    try:
        with Deadline(UPLOAD_SECONDS):
            return await reading
    except TimeoutError:
        raise SlowUpload(f"The body brought nothing for {UPLOAD_SECONDS:g} s; send it without pauses.") from None


async def departure(request: web.Request) -> None:
    """Wait until the client has left, then raise UnprocessableEntity: the transcript would have no reader.

    A transport whose reading is paused does not notice, so the socket itself is looked at. A client that closed only
    its sending side cannot be distinguished from one that left.
    """
    while _present(request.transport):  # noqa: ASYNC110 - the loss of a connection that is not read is not reported
        await asyncio.sleep(PRESENCE_SECONDS)
    raise UnprocessableEntity("The connection was closed before its response; keep it open until then.")


def _present(transport: asyncio.Transport | None) -> bool:
    if transport is None or transport.is_closing():
        return False
    connection = transport.get_extra_info("socket")
    if (
        connection is None
        or not hasattr(socket, "TCP_INFO")
        or connection.family not in {socket.AF_INET, socket.AF_INET6}
    ):
        return True
    try:
        state: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return False
    return state[0] == _ESTABLISHED
