"""One recorded request: an uploaded body through the recogniser, and the answers made of it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from aiohttp import BodyPartReader, ClientPayloadError, web

from aldea.errors import (
    ApiError,
    BadRequest,
    PayloadTooLarge,
    ServiceUnavailable,
    SlowUpload,
    UnprocessableEntity,
)
from aldea.tasks import cancel, spawn
from stt_api.events import Ended, Failed, Transcript, Undecodable
from stt_api.options import ListenOptions
from stt_api.pool import WorkerPool
from stt_api.process import Stream, WorkerLost

log = structlog.get_logger("stt_api.recorded")

T = TypeVar("T")

# An upload that brings nothing for so long has stalled.
UPLOAD_SECONDS: Final = 30.0
# The most that is read at a time.
CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording. `duration` in seconds, of each of `channels` channels."""

    transcripts: tuple[Transcript, ...]
    duration: float
    channels: int
    sha256: str


class _Upload:
    """Feeds a body into a stream, counting and hashing it."""

    def __init__(self, stream: Stream, body: AsyncIterator[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._body = body
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def run(self) -> None:
        """Feed all of it; a fault is told to the stream, so that whoever takes its events learns of it."""
        try:
            await self._feed()
        except (ApiError, WorkerLost) as error:
            self._stream.fail(error)
        except (ClientPayloadError, ConnectionError) as error:
            self._stream.fail(UnprocessableEntity(f"The body broke off after {self._size} bytes ({error})."))

    async def _feed(self) -> None:
        async for chunk in self._body:
            self._size += len(chunk)
            if self._size > self._max_bytes:
                raise PayloadTooLarge(f"The audio is larger than {self._max_bytes} bytes; send it in parts.")
            self._hash.update(chunk)
            await self._stream.send(chunk)
        if not self._size:
            raise BadRequest("The body is empty; send the audio's bytes as the request's body.")
        await self._stream.end()


async def transcribe(
    pool: WorkerPool, options: ListenOptions, body: AsyncIterator[bytes], *, max_bytes: int
) -> Recorded:
    """Recognise a body. Raises ApiError."""
    async with pool.stream(options) as stream:
        upload = _Upload(stream, body, max_bytes)
        uploading = spawn(upload.run(), name="upload")
        transcripts: list[Transcript] = []
        try:
            while not isinstance(event := await stream.next_event(), Ended):
                if isinstance(event, Undecodable):
                    raise BadRequest(f"The body cannot be used: {event.reason}.")
                if isinstance(event, Failed):
                    log.error("recognition failed", reason=event.reason)
                    raise ApiError("The recogniser failed on this audio; it is logged under the request id.")
                if isinstance(event, Transcript) and event.final:
                    transcripts.append(event)
        except WorkerLost as lost:
            raise ServiceUnavailable(f"Transcription broke off: {lost}; send the request again.") from lost
        finally:
            await cancel(uploading)
        return Recorded(tuple(transcripts), event.duration, event.channels, upload.sha256)


async def plain_body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The request's body as it comes. Raises SlowUpload when it stalls."""
    while chunk := await in_time(request.content.read(CHUNK_BYTES)):
        yield chunk


async def multipart_body(request: web.Request) -> AsyncGenerator[bytes, None]:
    """The first file of a multipart form, or its first field if none is a file. Raises BadRequest, SlowUpload."""
    try:
        reader = await request.multipart()
        part = await in_time(reader.next())
        while part is not None:
            if isinstance(part, BodyPartReader) and (part.filename or part.name in {"file", "audio"}):
                while chunk := await in_time(part.read_chunk(CHUNK_BYTES)):
                    yield bytes(chunk)
                return
            part = await in_time(reader.next())
    except (ValueError, AssertionError) as error:
        raise BadRequest(f"The multipart form cannot be read: {error}.") from error
    raise BadRequest("The multipart form has no file; send one in a field called 'file'.")


async def in_time(reading: Awaitable[T]) -> T:
    """One step of reading a body. Raises SlowUpload after UPLOAD_SECONDS."""
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            return await reading
    except TimeoutError:
        raise SlowUpload(f"The body brought nothing for {UPLOAD_SECONDS:g} s; send it without pauses.") from None
