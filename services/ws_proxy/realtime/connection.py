"""Connection: a realtime session's WebSocket, and the relay of the stream that its audio becomes.

The STT server is opened with the first audio, because the session's format is known only then.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from aiohttp import WSMsgType, web
from aiohttp.abc import AbstractStreamWriter
from multidict import MultiDict

from aldea import errors
from aldea.admission import Grant, Verdict
from aldea.service.lifecycle import LIFECYCLE
from aldea.standstill import lived
from aldea.tasks import Deadline, spawn, together
from aldea.usage.reading import Rank, UsageReading
from ws_proxy.meter import raw_audio
from ws_proxy.placement import UpstreamRequest
from ws_proxy.realtime.frame_reader import FrameReader, TooLarge
from ws_proxy.realtime.inlet import Inlet
from ws_proxy.realtime.lingering import discard_the_rest
from ws_proxy.realtime.session_config import InvalidEvent
from ws_proxy.realtime.translator import ToServer, Translator
from ws_proxy.resources import Resources, book, new_session, observe_connected, upstream_headers
from ws_proxy.streams import RESTART_REASON
from ws_proxy.websocket.frames import (
    BINARY,
    CLOSE,
    MAX_REASON_BYTES,
    PING,
    PONG,
    TEXT,
    CloseCode,
    close_frame,
    frame,
    parse_close,
)

log = structlog.get_logger("ws_proxy.realtime")

SERVER_PATH: Final = "/v1/listen"
# The STT server ends a stream after ten seconds without audio or text; a realtime client may be silent for longer.
KEEP_ALIVE_SECONDS: Final = 4.0
KEEP_ALIVE: Final = b'{"type":"KeepAlive"}'
_IDLE: Final = "NET-0001: no event came within {:g} s. Connect again."


class Socket(web.WebSocketResponse):
    """The client's side. A message that is too large is refused by an error event, and then by its close code."""

    def __init__(self, translator: Translator, *, protocol: str | None, most: int, close_seconds: float) -> None:
        """`most`: of a message, in bytes."""
        super().__init__(
            protocols=() if protocol is None else (protocol,),
            autoping=False,
            compress=False,
            max_msg_size=most,
            timeout=close_seconds,
        )
        self._translator = translator
        self._most = most
        self._close_seconds = close_seconds
        self._request: web.BaseRequest | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._request = request
        return await super().prepare(request)

    async def close(self, *, code: int = CloseCode.NORMAL, message: bytes = b"", drain: bool = True) -> bool:
        if code == CloseCode.TOO_BIG and not self.closed:
            text = f"An event may have {self._most} bytes at most. Send audio in smaller pieces."
            with suppress(ConnectionError):
                await self.send_str(json.dumps(self._translator.fault(InvalidEvent(text, code="message_too_large"))))
                await self._end_while_it_still_comes(close_frame(code, masked=False))
        return await super().close(code=code, message=message, drain=drain)

    async def _end_while_it_still_comes(self, last: bytes) -> None:
        """Send the close frame; the rest of the message may be on its way for some time."""
        transport = None if self._request is None else self._request.transport
        if transport is not None and not transport.is_closing():
            transport.write(last)
            await discard_the_rest(transport, most_seconds=self._close_seconds)
            transport.close()


class _Idle(Exception):
    """No event came in time."""


class Connection:
    """One session. A `Renewable` until its stream is one."""

    def __init__(
        self, request: web.Request, resources: Resources, grant: Grant, socket: Socket, translator: Translator
    ) -> None:
        self.socket = socket
        self.grant = grant
        self._request = request
        self._resources = resources
        self._translator = translator
        self._loop = asyncio.get_running_loop()
        self._began = time.monotonic()
        self._heard = self._sent = lived(self._loop)  # when an event came, when something went to the server
        self._first: Sequence[ToServer] = ()
        self._inlet = Inlet(self._abort)
        self._code: int | None = None  # of a close that is ours
        self._relayed = False

    # Before the first audio.

    async def open(self) -> bool:
        """Serve the session until its stream runs: True. False if it ended before, which is booked then."""
        self._resources.renewals.add(self)
        code: int = CloseCode.ABNORMAL
        started = False
        try:
            code, started = await self._until_audio()
        except ConnectionError:
            pass
        finally:
            if not started:
                self._resources.renewals.discard(self)
                await book(self._resources, self.grant, 101, code)
        return started

    async def _until_audio(self) -> tuple[int, bool]:
        """The close code, and whether there is none because the stream runs."""
        try:
            async with self._resources.streams.opening():
                self._stop_in_a_drain()  # which may have begun during the upgrade
                await self._send(*self._translator.opening())
                while not self._first:
                    received = await self._receive_within(self._resources.settings.idle_seconds)
                    if received is None:
                        return self._code or self.socket.close_code or CloseCode.ABNORMAL, False
                    self._first = received
                await self._start()
                return 0, True
        except TimeoutError:
            return await self._close(CloseCode.SERVICE_RESTART, RESTART_REASON), False
        except _Idle:
            reason = _IDLE.format(self._resources.settings.idle_seconds)
            await self._send(*self._translator.closed(CloseCode.INTERNAL_ERROR, reason))
            return await self._close(CloseCode.INTERNAL_ERROR, reason), False
        except errors.ApiError as error:
            await self._send(self._translator.refused(error.status, error.err_code, error.message))
            return await self._close(CloseCode.INTERNAL_ERROR, f"NET-0000: {error.message}"), False

    async def _receive_within(self, seconds: float) -> Sequence[ToServer] | None:
        try:
            with Deadline(seconds):
                return await self._receive()
        except TimeoutError:
            raise _Idle from None

    async def _start(self) -> None:
        """Find a server and start the relay. Raises errors.ApiError."""
        resources, grant, query = self._resources, self.grant, self._translator.config.server_query
        request = UpstreamRequest(SERVER_PATH, urlencode(query), upstream_headers(self._request, grant), grant.trace)
        began = time.monotonic()
        server, opened = await resources.finder.first(request, lived(self._loop) + resources.settings.handshake_seconds)
        connect_seconds = time.monotonic() - began
        observe_connected(grant, connect_seconds)
        # From here to the relay's start nothing awaits: no event can come between.
        if self._request.app[LIFECYCLE].draining or opened.transport.is_closing():
            resources.upstreams.release(server)
            opened.transport.abort()
            self._stop_in_a_drain()
            raise errors.BadGateway("The STT server closed the connection. Connect again.")
        raw = raw_audio(SERVER_PATH, MultiDict(query))
        session = new_session(resources, grant, request, raw, server, continues=True, connect_seconds=connect_seconds)
        session.relay.start(self._inlet, b"", opened.transport, opened.early)
        resources.streams.add(session)
        self._relayed = True

    def _stop_in_a_drain(self) -> None:
        """Raise TimeoutError, as `LiveStreams.opening` does when a drain begins."""
        if self._request.app[LIFECYCLE].draining:
            raise TimeoutError

    def checkpoint(self) -> UsageReading:
        """Nothing was said yet."""
        milliseconds = round((time.monotonic() - self._began) * 1000)
        return replace(self.grant.reading(Rank.OPEN, 1), connection_ms=milliseconds, status=101)

    def on_refused(self, verdict: Verdict) -> None:
        """A renewal found that the session may not go on."""
        spawn(self._refuse(verdict.close_reason), name=f"refuse {self.grant.request_id}")

    async def _refuse(self, reason: str) -> None:
        with suppress(ConnectionError):
            await self._send(*self._translator.closed(CloseCode.POLICY_VIOLATION, reason))
            await self._close(CloseCode.POLICY_VIOLATION, reason)

    # With a stream.

    async def run(self) -> None:
        """Translate in both directions until the relay and the client have ended."""
        try:
            await together(
                self._outward(), self._inward(), self._keep_alive(), name=f"realtime-{self.grant.request_id}"
            )
        except ConnectionError:
            pass
        except TooLarge:
            await self._close(CloseCode.INTERNAL_ERROR, "NET-0000: the STT server sent a message that is too large")
        finally:
            self._inlet.end()

    async def _outward(self) -> None:
        """From the relay to the client."""
        reader, inlet = FrameReader(), self._inlet
        while data := await inlet.take():
            for opcode, payload in reader.feed(data):
                if opcode == TEXT:
                    await self._send(*self._translator.said(payload))
                elif opcode == PING:
                    await self.socket.ping(payload)
                elif opcode == CLOSE:
                    await self._closed(payload)
            inlet.taken(len(data))

    async def _closed(self, payload: bytes) -> None:
        """The relay closes the stream."""
        code, reason = parse_close(payload)
        if not self.socket.closed:
            await self._send(*self._translator.closed(code, reason))
            await self._close(code if code != CloseCode.NO_STATUS else CloseCode.NORMAL, reason)
            await self._inlet.feed(close_frame(code, masked=True))

    async def _inward(self) -> None:
        """From the client to the relay."""
        received: Sequence[ToServer] | None = self._first
        while received is not None:
            for piece in received:
                await self._forward(piece)
            received = await self._receive()
        if self._code is not None:
            return
        code = self.socket.close_code
        if code is None or code == CloseCode.ABNORMAL:
            self._inlet.end()
        else:
            await self._inlet.feed(close_frame(code, masked=True))

    async def _forward(self, piece: ToServer) -> None:
        self._sent = lived(self._loop)
        if isinstance(piece, str):
            await self._inlet.feed(frame(TEXT, piece.encode(), masked=True))
        else:
            await self._inlet.feed(frame(BINARY, piece, masked=True))

    async def _keep_alive(self) -> None:
        """Hold the stream open while the client sends something from time to time, if no audio."""
        idle = self._resources.settings.idle_seconds
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            now = lived(self._loop)
            if now - self._sent >= KEEP_ALIVE_SECONDS and now - self._heard < idle:
                await self._inlet.feed(frame(TEXT, KEEP_ALIVE, masked=True))

    # The client's WebSocket.

    async def _receive(self) -> Sequence[ToServer] | None:
        """What the client's next message gives the STT server, perhaps nothing; None once it has gone."""
        message = await self.socket.receive()
        if message.type is WSMsgType.TEXT:
            self._heard = lived(self._loop)
            events, to_server = self._translator.received(message.data)
            await self._send(*events)
            return to_server
        if message.type is WSMsgType.BINARY:
            self._heard = lived(self._loop)
            await self._send(self._translator.binary())
        elif message.type is WSMsgType.PING:
            await self.socket.pong(message.data)
        elif message.type is WSMsgType.PONG and self._relayed:
            await self._inlet.feed(frame(PONG, bytes(message.data), masked=True))
        elif message.type is not WSMsgType.PONG:
            return None
        return ()

    async def _send(self, *events: dict[str, Any]) -> None:
        for event in events:
            await self.socket.send_str(json.dumps(event))

    async def _close(self, code: int, reason: str) -> int:
        self._code = code
        await self.socket.close(code=code, message=reason.encode()[:MAX_REASON_BYTES])
        return code

    def _abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()
