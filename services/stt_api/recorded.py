"""One recorded request: an uploaded body through the recogniser, and what was understood of it."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import structlog

from aldea.errors import ApiError, BadRequest, PayloadTooLarge, ServiceUnavailable
from aldea.tasks import together
from stt_api.audio.faults import FORMATS_TAKEN
from stt_api.body import CHUNK_BYTES
from stt_api.options import ListenOptions
from stt_api.recognition.events import Ended, Failed, Transcript, Undecodable
from stt_api.recognition.pool import WorkerPool
from stt_api.recognition.process import Stream, WorkerLost

# Bytes of an upload that may wait for the recognizer in memory; what is beyond waits on disk.
AHEAD_BYTES: Final = 4 << 20
# The progress of a long recording is logged each time that so much of it was transcribed.
PROGRESS_SECONDS: Final = 300.0

log = structlog.get_logger("stt_api.recorded")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recording. `duration` in seconds, of each of `channels` channels."""

    transcripts: tuple[Transcript, ...]
    duration: float
    channels: int
    sha256: str


class _Upload:
    """Feeds a body into a stream, counting and hashing it.

    The body is read as fast as it comes, whatever the recognizer does: that a client has left is seen only behind what
    it sent. What the recognizer has not had yet waits in memory, and beyond AHEAD_BYTES on disk.
    """

    def __init__(self, stream: Stream, body: AsyncIterator[bytes], max_bytes: int) -> None:
        self._stream = stream
        self._body = body
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._waiting = tempfile.SpooledTemporaryFile(max_size=AHEAD_BYTES)  # noqa: SIM115 - closed by `close`
        self._came = asyncio.Event()
        self._complete = False

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def receive(self) -> None:
        """Read all of it. Raises what the body raises, PayloadTooLarge, BadRequest, ServiceUnavailable."""
        async for chunk in self._body:
            self._size += len(chunk)
            if self._size > self._max_bytes:
                raise PayloadTooLarge(f"The audio is larger than {self._max_bytes} bytes; send it in parts.")
            self._hash.update(chunk)
            try:
                self._waiting.seek(0, os.SEEK_END)
                self._waiting.write(chunk)
            except OSError as error:
                log.error("upload not kept", error=str(error))  # noqa: TRY400 - the text says it all
                raise ServiceUnavailable("There is no room to keep the audio; try again later.") from error
            self._came.set()
        if not self._size:
            raise BadRequest("The body is empty; send the audio's bytes as the request's body.")
        self._complete = True
        self._came.set()

    async def send(self) -> None:
        """Send all of it on. Raises WorkerLost."""
        sent = 0
        while sent < self._size or not self._complete:
            if sent == self._size:
                self._came.clear()
                await self._came.wait()
                continue
            self._waiting.seek(sent)
            chunk = self._waiting.read(CHUNK_BYTES)
            await self._stream.send(chunk)
            sent += len(chunk)
        await self._stream.end()

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.close()


async def transcribe(
    pool: WorkerPool,
    options: ListenOptions,
    body: AsyncIterator[bytes],
    *,
    max_bytes: int,
    departure: Coroutine[Any, Any, None],
) -> Recorded:
    """Recognise a body. `departure` raises when the client has left. Raises ApiError."""
    try:
        async with pool.stream(options) as stream:
            upload = _Upload(stream, body, max_bytes)
            with closing(upload):
                transcripts, ended = await together(
                    _understood(stream), upload.receive(), upload.send(), departure, name="transcribe"
                )
    except WorkerLost as lost:
        raise ServiceUnavailable(f"Transcription broke off: {lost}; send the request again.") from lost
    finally:
        departure.close()
    return Recorded(transcripts, ended.duration, ended.channels, upload.sha256)


async def _understood(stream: Stream) -> tuple[tuple[Transcript, ...], Ended]:
    transcripts: list[Transcript] = []
    reported = 0.0
    while not isinstance(event := await stream.next_event(), Ended):
        if isinstance(event, Undecodable):
            raise BadRequest(f"The body cannot be used: {event.reason}. {FORMATS_TAKEN}.")
        if isinstance(event, Failed):
            log.error("recognition failed", reason=event.reason)
            raise ApiError("The recogniser failed on this audio; it is logged under the request id.")
        if isinstance(event, Transcript) and event.final:
            transcripts.append(event)
            if event.end - reported >= PROGRESS_SECONDS:
                reported = event.end
                log.info("transcription goes on", audio_seconds=reported)
    return tuple(transcripts), event
