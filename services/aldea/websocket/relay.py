"""Relay: two WebSocket connections joined at the level of raw frames, from after both handshakes to both ends.

Bytes are not re-framed: a client's masked frame is a valid masked frame for the server, so what one leg's scanner
lets pass is written to the other leg's transport as it came. Close frames are not passed on: each is answered on its
own hop, and one of our own is sent on the other, so that codes can change. Nothing is scheduled per chunk.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from aldea.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    CloseCode,
    ProtocolViolation,
    close_frame,
    frame,
    parse_close,
)
from aldea.websocket.leg import Leg
from aldea.websocket.scanner import FrameScanner

log = structlog.get_logger("aldea.relay")

# Contract: the message that makes the STT server finish what is buffered, report, and close with 1000.
CLOSE_STREAM: Final = b'{"type":"CloseStream"}'
# Our pings carry this, so that their pongs are told from those that the two peers exchange.
_PING_PAYLOAD: Final = os.urandom(8)

Initiator = Literal["client", "upstream", "proxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a relay enforces; sizes in bytes, times in seconds."""

    client_message_bytes: int = 1 << 20
    upstream_message_bytes: int = 16 << 20
    ping_after: float = 25.0  # a direction silent for this long gets a ping (below every balancer's idle timeout)
    pong_within: float = 20.0  # after which something must have come back
    idle: float = 60.0  # without a message from the client
    stall: float = 60.0  # a peer that takes nothing from a full buffer
    boundary: float = 5.0  # for a place between frames or messages to come
    finish: float = 5.0  # for the server's last report after a CloseStream
    close: float = 5.0  # for the peer's answer to a Close
    duration: float = 12 * 3600.0  # of a whole stream


@dataclass(frozen=True, slots=True)
class Ending:
    """How a relay ended: who began it, and the close code on each hop (1006: lost without a Close)."""

    initiator: Initiator
    reason: str
    client_code: int
    upstream_code: int


class Relay:
    """Both legs and the rules of their ending. `ended` is done when both connections are gone."""

    __slots__ = (
        "_client_wants",
        "_finishing",
        "_idle_since",
        "_initiator",
        "_messages_mark",
        "_reason",
        "_started",
        "_timers",
        "client",
        "ended",
        "limits",
        "loop",
        "upstream",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ending] = self.loop.create_future()
        client_scanner = FrameScanner(
            masked=True, max_message_bytes=limits.client_message_bytes, on_control=self._client_control
        )
        upstream_scanner = FrameScanner(
            masked=False,
            max_message_bytes=limits.upstream_message_bytes,
            on_control=self._upstream_control,
            keep_reports=True,
        )
        self.client = Leg(self, "client", client_scanner, masked=False)
        self.upstream = Leg(self, "upstream", upstream_scanner, masked=True)
        self.client.peer, self.upstream.peer = self.upstream, self.client
        self._started = self._idle_since = self.loop.time()
        self._messages_mark = 0
        self._initiator: Initiator | None = None
        self._reason = ""
        self._client_wants: tuple[int, str] | None = None  # what the client is to be told when the server has closed
        self._finishing = False  # a CloseStream of ours went, or waits to go, to the server
        self._timers: list[asyncio.TimerHandle] = []

    def start(
        self, client: asyncio.Transport, client_bytes: bytes, upstream: asyncio.Transport, upstream_bytes: bytes
    ) -> None:
        """Begin: both transports belong to the legs now; `…_bytes` is what arrived behind the handshakes already."""
        self.client.attach(client)
        self.upstream.attach(upstream)
        client.set_protocol(self.client)
        upstream.set_protocol(self.upstream)
        if upstream_bytes:
            self.upstream.data_received(upstream_bytes)
        if client_bytes:
            self.client.data_received(client_bytes)
        for leg in (self.client, self.upstream):
            if leg.transport is not None and leg.peer.stalled_since is None and not leg.transport.is_closing():
                leg.transport.resume_reading()

    @property
    def ending(self) -> bool:
        """Whether the end has begun."""
        return self._initiator is not None

    # What the owner does to a relay.

    def end(self, code: int, reason: str) -> None:
        """End the stream on our own initiative: the client is told `code` now, the server's report is awaited."""
        if self._begin("proxy", reason):
            self._send_close(self.client, code, reason)
            self._finish_upstream(CloseCode.NORMAL, "")

    def drain(self, code: int, reason: str, finish_seconds: float) -> None:
        """End the stream so that nothing is cut: the server finishes and its last messages reach the client first."""
        if self._begin("proxy", reason):
            self._client_wants = (code, reason)
            self._finish_upstream(CloseCode.NORMAL, "", finish_seconds)

    def abort(self, reason: str) -> None:
        """Drop both connections at once."""
        self._begin("proxy", reason)
        self.client.abort()
        self.upstream.abort()

    def tick(self, now: float) -> None:
        """Look at everything that depends on time; called every few seconds with the loop's time."""
        if self.ending:
            return
        limits = self.limits
        messages = self.client.scanner.messages
        if messages != self._messages_mark or self.upstream.stalled_since is not None:
            self._messages_mark, self._idle_since = messages, now
        if now - self._started > limits.duration:
            self.end(
                CloseCode.INTERNAL_ERROR, f"NET-0000: the stream reached its longest duration, {limits.duration:g} s"
            )
        elif now - self._idle_since > limits.idle:
            self.end(
                CloseCode.INTERNAL_ERROR,
                "NET-0001: did not receive audio data or a text message within the timeout window",
            )
        else:
            for leg in (self.client, self.upstream):
                self._tick_leg(leg, now)

    def _tick_leg(self, leg: Leg, now: float) -> None:
        if leg.stalled_since is not None:
            if now - leg.stalled_since > self.limits.stall:
                self._begin(leg.side, f"{leg.side} took no data for {self.limits.stall:g} s")
                leg.abort()
            return
        if leg.ping_sent_at is not None:
            if leg.bytes_received != leg.received_mark:
                leg.ping_sent_at = None
            elif now - leg.ping_sent_at > self.limits.pong_within and leg.peer.stalled_since is None:
                self._begin(leg.side, f"{leg.side} did not answer a ping within {self.limits.pong_within:g} s")
                leg.abort()
                return
        if leg.peer.bytes_received != leg.sent_mark:
            leg.sent_mark, leg.quiet_since = leg.peer.bytes_received, now
        elif now - leg.quiet_since > self.limits.ping_after and leg.ping_sent_at is None and leg.at_frame_boundary:
            leg.write(frame(PING, _PING_PAYLOAD, masked=leg.masked))
            leg.ping_sent_at = leg.quiet_since = now
            leg.received_mark = leg.bytes_received

    # What the legs tell.

    def _client_control(self, opcode: int, payload: bytes) -> bool:
        return self._control(self.client, opcode, payload)

    def _upstream_control(self, opcode: int, payload: bytes) -> bool:
        return self._control(self.upstream, opcode, payload)

    def _control(self, leg: Leg, opcode: int, payload: bytes) -> bool:
        if opcode == CLOSE:
            leg.close_received = parse_close(payload)
            leg.scanner.discard = True  # nothing may follow it (RFC 6455 section 5.5.1)
            self._then(leg, self._client_closed if leg is self.client else self._upstream_closed)
            return False
        if opcode == PONG and payload == _PING_PAYLOAD:
            return False
        if not leg.scanner.discard:
            return True
        if opcode == PING and leg.close_sent is None and leg.at_frame_boundary:
            leg.write(frame(PONG, payload, masked=leg.masked))
        return False

    def _client_closed(self) -> None:
        code, reason = self.client.close_received or (CloseCode.NO_STATUS, "")
        self._begin("client", reason)
        self._send_close(self.client, code, reason)
        self._finish_upstream(code, reason)

    def _upstream_closed(self) -> None:
        code, reason = self.upstream.close_received or (CloseCode.NO_STATUS, "")
        self._begin("upstream", reason)
        client_code, client_reason = self._client_wants or (code, reason)
        self._send_close(self.client, client_code, client_reason)
        if self._initiator == "client" and self.client.close_received is not None:
            code, reason = self.client.close_received
        self._send_close(self.upstream, code, reason)

    def violated(self, leg: Leg, violation: ProtocolViolation) -> None:
        """The leg's peer broke RFC 6455: both hops are closed, with the code that says how."""
        leg.stop_scanning()
        log.info("protocol violation", side=leg.side, reason=violation.reason, offset=violation.offset)
        self._begin(leg.side, violation.reason)
        if leg is self.client:
            self._send_close(self.client, violation.code, violation.reason)
            self._send_close(self.upstream, violation.code, violation.reason)
        else:
            reason = f"NET-0000: the speech server broke the protocol: {violation.reason}"
            self._send_close(self.client, CloseCode.INTERNAL_ERROR, reason)
            self._send_close(self.upstream, violation.code, violation.reason)

    def lost(self, leg: Leg, exc: Exception | None) -> None:
        """The leg's connection is gone, with or without a closing handshake."""
        if leg is self.client:
            reason = "client connection lost"
            self._begin("client", f"{reason}: {exc}" if exc else reason)
            self._finish_upstream(CloseCode.INTERNAL_ERROR, reason)
        else:
            reason = "NET-0000: connection to the speech server lost"
            self._begin("upstream", reason)
            code, text = self._client_wants or (CloseCode.INTERNAL_ERROR, reason)
            self._send_close(self.client, code, text)
        if self.client.transport is None and self.upstream.transport is None and not self.ended.done():
            self._finished()

    # How the end goes.

    def _begin(self, initiator: Initiator, reason: str) -> bool:
        """Note who began the end; False if it had begun before."""
        if self._initiator is not None:
            return False
        self._initiator, self._reason = initiator, reason
        return True

    def _finish_upstream(self, code: int, reason: str, seconds: float | None = None) -> None:
        """Let the server finish: CloseStream at the next message boundary, its report awaited, then a Close."""
        if self._finishing or self.upstream.transport is None or self.upstream.close_sent is not None:
            return
        self._finishing = True
        seconds = self.limits.finish if seconds is None else seconds
        close_stream = frame(TEXT, CLOSE_STREAM, masked=True)

        def wait_for_report() -> None:
            self.client.stop_passing()
            self._after(seconds, lambda: self._send_close(self.upstream, code, reason))

        def at_boundary() -> bytes:
            self.client.scanner.discard = True
            self._then(self.client, wait_for_report)
            return close_stream

        if self.upstream.at_message_boundary:
            self.upstream.write(close_stream)
            wait_for_report()
        elif self.client.transport is None or self.client.scanner.discard:
            self._send_close(self.upstream, code, reason)  # mid-message, and the rest of it will never come
        else:
            self.client.scanner.on_message_end = at_boundary
            self._after(self.limits.boundary, lambda: self._no_boundary(self.client, at_boundary))

    def _send_close(self, leg: Leg, code: int, reason: str) -> None:
        """Send a Close on this connection at the next frame boundary, then wait for the peer's, then close it."""
        if leg.transport is None or leg.close_sent is not None:
            return
        source = leg.peer
        data = close_frame(code, reason, masked=leg.masked)
        leg.close_sent = code

        def wait_for_answer() -> None:
            source.stop_passing()
            if leg.close_received is not None:
                leg.close()
            else:
                self._after(self.limits.close, leg.close)
            # A peer that takes nothing keeps even a closing transport open.
            self._after(2 * self.limits.close, leg.abort)

        def at_boundary() -> bytes:
            source.scanner.discard = True
            self._then(source, wait_for_answer)
            return data

        if leg.at_frame_boundary:
            leg.write(data)
            wait_for_answer()
        elif source.transport is None or source.scanner.discard:
            log.info("no place for a close frame, connection aborted", side=leg.side, code=code)
            leg.abort()
        else:
            source.scanner.on_message_end = at_boundary
            self._after(self.limits.boundary, lambda: self._no_boundary(source, at_boundary))

    def _no_boundary(self, source: Leg, callback: Callable[[], bytes]) -> None:
        if source.scanner.on_message_end is callback:
            log.info("no boundary between frames came, connections aborted", side=source.side)
            source.scanner.on_message_end = None
            source.abort()
            source.peer.abort()

    def _then(self, leg: Leg, callback: Callable[[], None]) -> None:
        """Run `callback` after the leg's current chunk, and after what is to run then already."""
        earlier = leg.after_write

        def both() -> None:
            if earlier is not None:
                earlier()
            callback()

        leg.after_write = both

    def _after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append(self.loop.call_later(seconds, callback))

    def _finished(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        client, upstream = self.client, self.upstream
        ending = Ending(
            self._initiator or "proxy",
            self._reason,
            _code(client, first=self._initiator == "client"),
            _code(upstream, first=self._initiator == "upstream"),
        )
        client.detach()
        upstream.detach()
        self.ended.set_result(ending)


def _code(leg: Leg, *, first: bool) -> int:
    """The close code of a hop: the peer's if it began, else ours; 1006 if none was exchanged."""
    received = leg.close_received[0] if leg.close_received is not None else None
    code = (received or leg.close_sent) if first else (leg.close_sent or received)
    return code or CloseCode.ABNORMAL
