"""One live stream: audio and control messages from a WebSocket, words back, a proper end whatever happens."""

import asyncio
import json
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import WSMessage, WSMsgType, web

from aldea.standstill import SECOND_LOOK_SECONDS, Later, lived
from aldea.tasks import Deadline, spawn, together
from stt_api import messages
from stt_api.audio.faults import UndecodableAudio
from stt_api.audio.opus_packets import OpusPackets
from stt_api.closing import Closing
from stt_api.recognition.events import Ended, Event, Failed, Undecodable
from stt_api.recognition.process import Stream, WorkerLost
from stt_api.wire import Command, End, Wire

log = structlog.get_logger("stt_api.live")

# A client that takes nothing for so long has left.
SEND_SECONDS: Final = 30.0
# How long the recogniser may take for what is buffered when a stream must end (drain, silence).
FINISH_SECONDS: Final = 5.0


class _Gone(Exception):
    """The client has left, or has closed the stream: nothing can be sent any more."""


class LiveSession:
    """One stream's life, from its first message to the close."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        stream: Stream,
        wire: Wire,
        *,
        request_id: str,
        silence_seconds: float,
        packets: OpusPackets | None = None,
    ) -> None:
        """`silence_seconds`: without audio or text for so long, the stream is closed.

        `packets`: what messages become that may be packets of a codec.
        """
        self._socket = socket
        self._stream = stream
        self._wire = wire
        self._request_id = request_id
        self._silence_seconds = silence_seconds
        self._packets = packets
        # What the stream ends with once the recogniser is done with what it has.
        self._verdict = End(Closing.FINISHED)
        self._ending = False  # no more audio is taken: the recogniser is finishing what it has
        self._restart_at_final = False
        self._patience: asyncio.Timeout | None = None
        self._finishing: Later | None = None

    async def run(self) -> int:
        """Serve until the end. Returns the close code that was sent, or 1006 if the client had left."""
        try:
            await self._send(*self._wire.opening())
            return await self._close(await self._served())
        except (_Gone, ConnectionError):
            return 1006

    @property
    def duration(self) -> float:
        """Seconds of audio that the client was notified of."""
        return self._wire.duration

    def restart_at_final(self) -> None:
        """The process goes soon: the stream is closed as by `restart` once its next final words were sent."""
        self._restart_at_final = True

    def restart(self) -> None:
        """The process goes: what is buffered is still transcribed, then the stream is closed with 1012.

        A stream that is ending anyway keeps its own close code, and gets no more time than the others.
        """
        if self._ending:
            self._finish_with(self._verdict)
            return
        self._ending = True
        self._finish_with(End(Closing.RESTART))
        spawn(self._end_stream(), name=f"restart-{self._request_id}")

    # From the client

    async def _receive(self) -> None:
        """Pass on what comes. Raises _Gone once the client has gone."""
        try:
            while await self._receive_one():
                pass
        except WorkerLost:
            # The reader of the stream's events gets it too, after the events before it.
            pass
        # From here on only the client's leaving is of interest.
        while not _gone(await self._socket.receive()):
            pass
        raise _Gone

    async def _receive_one(self) -> bool:
        """Take one message. False once no more audio is to come."""
        try:
            message = await self._message()
        except TimeoutError:
            self._ending = True
            self._finish_with(End(Closing.SILENCE, self._silence_seconds))
            await self._stream.end()
            return False
        if _gone(message):
            raise _Gone
        if message.type is WSMsgType.BINARY:
            return await self._audio(message.data)
        command, replies = self._wire.command(message.data)
        await self._send(*replies)
        if command is Command.FINALIZE:
            await self._stream.flush()
        elif command is Command.CLOSE_STREAM:
            self._ending = True
            await self._stream.end()
            return False
        return True

    async def _message(self) -> WSMessage:
        """The client's next message. Raises TimeoutError once it has been silent for too long.

        It may well wait for the words of what it sent: its silence counts from when the recognizer is done with that.
        Time that this process did not live through does not count; the socket is looked at again before the verdict.
        """
        loop = asyncio.get_running_loop()
        until, looked = lived(loop) + self._silence_seconds, False
        while True:
            try:
                # Not receive's own timeout: a ping would start that again, and pings are neither audio nor text.
                async with asyncio.timeout(max(SECOND_LOOK_SECONDS, until - lived(loop))):
                    return await self._socket.receive()
            except TimeoutError:
                now, settled = lived(loop), self._stream.settled
            until = max(until, (now if settled is None else settled) + self._silence_seconds)
            if now < until:
                looked = False
            elif looked:
                raise TimeoutError
            else:
                looked = True

    async def _audio(self, data: bytes) -> bool:
        if not data:  # an empty frame counts as CloseStream
            self._ending = True
            await self._stream.end()
            return False
        self._wire.audio(data)
        if self._packets is not None:
            try:
                data = self._packets.wrap(data)
            except UndecodableAudio as fault:
                self._finish_with(End(Closing.UNDECODABLE, str(fault)))
                self._ending = True
                await self._stream.end()
                return False
        await self._stream.send(data)
        return True

    async def _end_stream(self) -> None:
        # Who waits for the stream's events learns of a lost process by itself.
        with suppress(WorkerLost):
            await self._stream.end()

    def _finish_with(self, end: End) -> None:
        self._verdict = end
        if self._patience is not None and self._finishing is None:
            self._finishing = Later(asyncio.get_running_loop(), FINISH_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(0.0)  # long ago: at once

    # To the client

    async def _served(self) -> End:
        """Receive and send until the stream is over. Returns how it is to be closed. Raises _Gone, ConnectionError."""
        try:
            async with asyncio.timeout(None) as self._patience:
                name = f"stream-{self._request_id}"
                await together(self._send_all(), self._receive(), name=name)
        except End as end:
            return end
        except WorkerLost:
            return End(Closing.WORKER_LOST)
        except TimeoutError:
            # The recognizer did not finish in time: what it had not said is lost.
            return self._verdict
        except (_Gone, ConnectionError):
            raise
        except Exception:
            log.exception("stream failed", request_id=self._request_id)
            return End(Closing.FAILED)
        finally:
            self._patience = None
            if self._finishing is not None:
                self._finishing.cancel()
        return self._verdict

    async def _send_all(self) -> None:
        """Send what the recognizer says until it is done."""
        event: Event | None = None
        while not isinstance(event, Ended):
            event = await self._stream.next_event()
            await self._send_event(event)

    async def _send_event(self, event: Event) -> None:
        await self._send(*self._wire.said(event))
        if isinstance(event, Undecodable):
            raise End(Closing.UNDECODABLE, event.reason, report=event.duration > 0)
        if isinstance(event, Failed):
            log.error("recognition failed", request_id=self._request_id, reason=event.reason)
            raise End(Closing.FAILED)
        if self._restart_at_final and not self._ending and self._wire.complete(event):
            self.restart()

    async def _send(self, *sent: messages.Json) -> None:
        try:
            with Deadline(SEND_SECONDS):
                for message in sent:
                    await self._socket.send_str(json.dumps(message))
        except TimeoutError:
            raise ConnectionError("the client reads nothing") from None
        except RuntimeError:
            if not self._socket.closed:
                raise
            raise _Gone from None

    async def _close(self, end: End) -> int:
        await self._send(*self._wire.last(end))
        await self._socket.close(code=end.code, message=end.reason.encode())
        return int(end.code)


def _gone(message: WSMessage) -> bool:
    return message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}
