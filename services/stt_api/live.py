"""One live stream: audio and control messages from a WebSocket, words back, a proper end whatever happens."""

import asyncio
import hashlib
import json
from enum import Enum
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from aldea.tasks import cancel, spawn
from stt_api import messages
from stt_api.events import Ended, Event, Failed, SpeechStarted, Transcript, Undecodable, UtteranceEnd
from stt_api.options import ListenOptions
from stt_api.process import Stream, WorkerLost

log = structlog.get_logger("stt_api.live")

# A client that takes nothing for so long is gone.
SEND_SECONDS: Final = 30.0
# How long the recogniser may take for what is buffered when a stream must end (drain, silence).
FINISH_SECONDS: Final = 5.0
# A close frame's reason holds at most 123 bytes (RFC 6455 section 5.5).
MAX_REASON_BYTES: Final = 123
# 1012 "service restart" has no name in aiohttp before 3.14.
SERVICE_RESTART: Final = 1012


class Command(Enum):
    """What a client's text message asks for."""

    KEEP_ALIVE = "KeepAlive"
    FINALIZE = "Finalize"
    CLOSE_STREAM = "CloseStream"


def read_command(text: str) -> Command | None:
    """The command in a text message; None for one that is not known (it only holds the stream open)."""
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kind = message.get("type") if isinstance(message, dict) else None
    return next((command for command in Command if command.value == kind), None)


class End(Exception):
    """The stream is over: how it is to be closed, and whether a final Metadata is sent before."""

    def __init__(self, code: int, reason: str, *, metadata: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.metadata = metadata


class LiveSession:
    """One stream's life, from the opening Metadata to the close."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        stream: Stream,
        options: ListenOptions,
        *,
        request_id: str,
        silence_seconds: float,
    ) -> None:
        """`silence_seconds`: without audio or text for so long, the stream is closed."""
        self._socket = socket
        self._stream = stream
        self._options = options
        self._request_id = request_id
        self._silence_seconds = silence_seconds
        self._created = messages.now()
        self._hash = hashlib.sha256()
        self._channels = options.recognized_channels
        self.duration = 0.0  # seconds of audio that Results or Metadata have told the client of
        # What the stream ends with once the recogniser is done with what it has.
        self._verdict = End(WSCloseCode.OK, "", metadata=True)
        self._patience: asyncio.Timeout | None = None

    async def run(self) -> int:
        """Serve until the end. Returns the close code that was sent, or 1006 if the client was gone."""
        await self._send(self._metadata())
        receiving = spawn(self._receive(), name=f"receive-{self._request_id}")
        try:
            end = await self._answer()
        finally:
            await cancel(receiving)
        return await self._close(end)

    def restart(self) -> None:
        """The process goes: what is buffered is still answered, then the client is told to come back (1012)."""
        self._finish_with(End(SERVICE_RESTART, "The service restarts; connect again.", metadata=True))
        spawn(self._end_stream(), name=f"restart-{self._request_id}")

    # From the client

    async def _receive(self) -> None:
        try:
            while await self._receive_one():
                pass
            # The end was asked for: from here on only the client's leaving is of interest.
            while not _gone(await self._socket.receive()):
                pass
            self._stream.fail(_GONE)
        except (WorkerLost, End) as error:
            self._stream.fail(error)

    async def _receive_one(self) -> bool:
        """Take one message. False once no more audio is to come."""
        try:
            # Not receive's own timeout: a ping would start that again, and pings are neither audio nor text.
            async with asyncio.timeout(self._silence_seconds):
                message = await self._socket.receive()
        except TimeoutError:
            reason = (
                "NET-0001: did not receive audio data or a text message within the timeout window "
                f"({self._silence_seconds:g} s)."
            )
            self._finish_with(End(WSCloseCode.INTERNAL_ERROR, reason, metadata=True))
            await self._stream.end()
            return False
        if _gone(message):
            raise _GONE
        if message.type is WSMsgType.BINARY:
            return await self._audio(message.data)
        command = read_command(message.data)
        if command is Command.FINALIZE:
            await self._stream.flush()
        elif command is Command.CLOSE_STREAM:
            await self._stream.end()
            return False
        return True

    async def _audio(self, data: bytes) -> bool:
        if not data:  # an empty frame counts as CloseStream
            await self._stream.end()
            return False
        self._hash.update(data)
        await self._stream.send(data)
        return True

    async def _end_stream(self) -> None:
        try:
            await self._stream.end()
        except (WorkerLost, End) as error:
            self._stream.fail(error)

    def _finish_with(self, end: End) -> None:
        self._verdict = end
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + FINISH_SECONDS)

    # To the client

    async def _answer(self) -> End:
        """Send what the recogniser says until the stream is over. Returns how it is to be closed."""
        try:
            async with asyncio.timeout(None) as self._patience:
                while not isinstance(event := await self._stream.next_event(), Ended):
                    await self._tell(event)
        except End as end:
            return end
        except WorkerLost as lost:
            return End(WSCloseCode.INTERNAL_ERROR, f"NET-0000: {lost}; connect again.", metadata=True)
        except TimeoutError:
            # The recogniser did not finish in time: what it had not said is lost.
            return self._verdict
        except (ConnectionError, RuntimeError):
            return _GONE
        finally:
            self._patience = None
        self.duration, self._channels = event.duration, event.channels
        return self._verdict

    async def _tell(self, event: Event) -> None:
        if isinstance(event, Transcript):
            self.duration = max(self.duration, event.end)
            self._channels = event.channels
            if event.final or self._options.interim_results:
                await self._send(messages.results(event, self._request_id, punctuate=self._options.punctuate))
        elif isinstance(event, SpeechStarted):
            await self._send(messages.speech_started(event))
        elif isinstance(event, UtteranceEnd):
            await self._send(messages.utterance_end(event))
        elif isinstance(event, Undecodable):
            raise End(WSCloseCode.POLICY_VIOLATION, f"DATA-0000: {event.reason}.", metadata=False)
        elif isinstance(event, Failed):
            log.error("recognition failed", request_id=self._request_id, reason=event.reason)
            raise End(WSCloseCode.INTERNAL_ERROR, "NET-0000: the recogniser failed on this stream.", metadata=True)

    def _metadata(self) -> messages.Json:
        return messages.metadata(
            request_id=self._request_id,
            sha256=self._hash.hexdigest(),
            created=self._created,
            duration=self.duration,
            channels=self._channels,
        )

    async def _send(self, message: messages.Json) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send_str(json.dumps(message))
        except TimeoutError:
            raise ConnectionError("the client reads nothing") from None

    async def _close(self, end: End) -> int:
        if end is _GONE:
            return 1006
        try:
            if end.metadata:
                await self._send(self._metadata())
            reason = end.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()
            await self._socket.close(code=end.code, message=reason)
        except (ConnectionError, RuntimeError):
            return 1006
        return end.code


# The client has gone, or has closed by itself: nobody is left to tell anything.
_GONE: Final = End(1006, "the client is gone", metadata=False)


def _gone(message: WSMessage) -> bool:
    return message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}
