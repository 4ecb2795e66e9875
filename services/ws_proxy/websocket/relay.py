"""Relay: two WebSocket connections joined at the level of raw frames, from after both handshakes to both ends.

Bytes are not re-framed: a client's masked frame is a valid masked frame for the server, so what one leg's scanner
lets pass is written to the other leg's transport as it came. Close frames are not passed on: each has its reply on its
own hop, and one of our own is sent on the other, so that codes can change. Nothing is scheduled per chunk.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, Literal

import structlog

from aldea.standstill import Later, lived
from ws_proxy.websocket.continuation import Continuation, is_servers_fault
from ws_proxy.websocket.first_words import FirstWords
from ws_proxy.websocket.frames import (
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
from ws_proxy.websocket.insertion import Insertion
from ws_proxy.websocket.leg import Leg
from ws_proxy.websocket.liveness import PING_PAYLOAD, Liveness
from ws_proxy.websocket.scanner import FrameScanner

log = structlog.get_logger("aldea.relay")

# Contract: the message that makes the STT server finish what is buffered, report, and close with 1000.
CLOSE_STREAM: Final = b'{"type":"CloseStream"}'

_LOST: Final = "NET-0000: connection to the STT server lost"

Initiator = Literal["client", "upstream", "proxy"]
# How a running stream loses its server.
Cause = Literal["lost", "invalid", "closed", "hangs", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a relay enforces; sizes in bytes, times in seconds."""

    client_message_bytes: int = 1 << 20
    upstream_message_bytes: int = 16 << 20
    ping_after: float = 25.0  # silence, from a peer or towards it, before a ping (below every balancer's idle timeout)
    pong_within: float = 20.0  # after which something must have come back
    idle: float = 60.0  # without a message from the client
    stall: float = 60.0  # a peer that takes nothing from a full buffer
    boundary: float = 5.0  # for a place between frames or messages to come
    finish: float = 5.0  # for the server's last report after a CloseStream
    close: float = 5.0  # for the peer's reply to a Close
    # The same for a server whose streams can go on with another one: the customer waits for it.
    # A tick comes once a second, and the last byte up to one before the silence is noticed: 9 to 10 s together.
    hang_ping: float = 3.5
    hang_pong: float = 4.5
    hang_stall: float = 20.0
    duration: float = 12 * 3600.0  # of a whole stream


@dataclass(frozen=True, slots=True)
class Ending:
    """How a relay ended: who began it, and the close code on each hop (1006: lost without a Close)."""

    initiator: Initiator
    reason: str
    client_code: int
    upstream_code: int


class RelayState(Enum):
    """Where a relay is; docs/live-streams.md draws the way from one to the other."""

    PASSING = "passing"  # frames pass in both directions
    WAITING = "waiting"  # there is no server, and the client's audio is kept
    FINISHING = "finishing"  # the server is to send its last messages: a CloseStream went to it, or waits to go
    CLOSING = "closing"  # each open connection gets a Close
    ENDED = "ended"  # both connections are closed


class Relay:
    """Both legs and the rules of their ending. `ended` is done when both connections are closed.

    With a continuation a stream outlives its server: `on_loss` then looks for another one, and `resume` or `give_up`
    follows. Until then its state is WAITING.
    """

    __slots__ = (
        "_client_liveness",
        "_client_wants",
        "_continuation",
        "_finish_seconds",
        "_idle_since",
        "_initiator",
        "_insertions",
        "_messages_mark",
        "_passed_on",
        "_reason",
        "_started",
        "_timers",
        "_upstream_liveness",
        "client",
        "ended",
        "first_words",
        "limits",
        "loop",
        "on_loss",
        "state",
        "unrecoverable",
        "upstream",
    )

    def __init__(self, limits: Limits, continuation: Continuation | None = None) -> None:
        self.limits = limits
        self._continuation = continuation
        # Called with the cause and the reason; returns whether another server is looked for.
        self.on_loss: Callable[[Cause, str], bool] | None = None
        # The server was lost while the window lacked a part, so that no other one was looked for.
        self.unrecoverable = False
        self.state = RelayState.PASSING
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ending] = self.loop.create_future()
        client_scanner = FrameScanner(
            masked=True, max_message_bytes=limits.client_message_bytes, on_control=self._client_control
        )
        self.client = Leg(self, "client", client_scanner, masked=False)
        self.upstream = self._upstream_leg()
        self.first_words = FirstWords()
        self._client_liveness = self._liveness(self.client)
        self._upstream_liveness = self._liveness(self.upstream)
        self._started = self._idle_since = lived(self.loop)
        self._messages_mark = 0
        self._passed_on: int | None = None  # see `audio_bytes`
        self._initiator: Initiator | None = None
        self._reason = ""
        self._client_wants: tuple[int, str] | None = None  # the Close for the client once the server has closed
        self._finish_seconds: float | None = None  # for the server's last messages, other than usual
        self._insertions: dict[Leg, Insertion] = {}  # by the leg that they go to
        self._timers: list[Later] = []

    def start(
        self, client: asyncio.Transport, client_bytes: bytes, upstream: asyncio.Transport, upstream_bytes: bytes
    ) -> None:
        """Begin: both transports belong to the legs now; `…_bytes` is what arrived behind the handshakes already."""
        client.set_protocol(self.client)
        upstream.set_protocol(self.upstream)
        kept = self._continuation
        self.client.attach(client)
        if kept is None:
            self.upstream.attach(upstream)
        else:
            kept.attach(self.client.scanner, self._window_full)
            kept.delivery.attach(self.upstream.scanner, self.client.scanner, client.write, self.upstream.pass_to)
            self.upstream.delivery = kept.delivery
            self.upstream.attach(upstream, kept.window.passing_to(upstream.write))
        self.first_words.attach(self.client, self.upstream)
        if upstream_bytes:
            self.upstream.data_received(upstream_bytes)
        if client_bytes:
            self.client.data_received(client_bytes)
        self._read_on()

    def _upstream_leg(self) -> Leg:
        scanner = FrameScanner(
            masked=False,
            max_message_bytes=self.limits.upstream_message_bytes,
            on_control=self._upstream_control,
            keep_reports=True,
        )
        leg = Leg(self, "upstream", scanner, masked=True)
        leg.peer, self.client.peer = self.client, leg
        return leg

    def _read_on(self) -> None:
        for leg in (self.client, self.upstream):
            if leg.transport is not None and not leg.peer.full and not leg.transport.is_closing():
                leg.transport.resume_reading()

    @property
    def server_heard_since(self) -> float:
        """Since when nothing came from the server, as a time of the loop's lived time."""
        return self._upstream_liveness.heard_since

    @property
    def ending(self) -> bool:
        """Whether the end has begun."""
        return self._initiator is not None

    # What the owner does to a relay.

    def end(self, code: int, reason: str) -> None:
        """End the stream on our own initiative: the client gets `code` now, the server's report is awaited."""
        if self._begin("proxy", reason):
            self._close_hop(self.client, code, reason)
            self._finish_upstream(CloseCode.NORMAL, "")

    def drain(self, code: int, reason: str, finish_seconds: float) -> None:
        """End the stream so that nothing is cut: the server finishes and its last messages reach the client first."""
        if self._begin("proxy", reason):
            self._client_wants = (code, reason)
            self._finish_seconds = finish_seconds
            self._finish_upstream(CloseCode.NORMAL, "")

    def hurry(self, code: int, reason: str) -> None:
        """End the stream within moments, also one whose end waits for something: each peer gets its Close now."""
        self._begin("proxy", reason)
        self._close_client(code, reason)
        self._close_hop(self.upstream, CloseCode.NORMAL, "")

    def abort(self, reason: str) -> None:
        """Drop both connections at once."""
        if self.state is RelayState.ENDED:
            return
        self._begin("proxy", reason)
        self.state = RelayState.CLOSING
        self.client.abort()
        self.upstream.abort()

    def tick(self, now: float) -> None:
        """Look at everything that depends on time; called every few seconds with the loop's lived time.

        An end that has begun keeps its deadlines by timers of its own.
        """
        if self.ending:
            return
        limits = self.limits
        messages = self.client.scanner.messages
        if messages != self._messages_mark or self.upstream.full or self._waiting:
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
            if self._continuation is not None:
                self._continuation.tick(waiting=self._waiting)
            self._look_at(self._client_liveness, self.client, now)
            if not self._waiting:
                self._look_at(self._upstream_liveness, self.upstream, now)

    def _look_at(self, liveness: Liveness, leg: Leg, now: float) -> None:
        if (reason := liveness.look(now)) is not None:
            self._give_up_on(leg, reason)

    def _liveness(self, leg: Leg) -> Liveness:
        limits = self.limits
        return Liveness(
            leg,
            lived(self.loop),
            ping_after=self._patience(leg, limits.ping_after, limits.hang_ping),
            pong_within=self._patience(leg, limits.pong_within, limits.hang_pong),
            stall=self._patience(leg, limits.stall, limits.hang_stall),
        )

    def _patience(self, leg: Leg, usual: float, hurried: float) -> float:
        """For how many seconds to bear with a leg's peer: less with a server that another one can take the place of."""
        return min(usual, hurried) if leg is self.upstream and self._continuation is not None else usual

    def _give_up_on(self, leg: Leg, reason: str) -> None:
        if leg is self.upstream and self._continues("hangs", reason):
            return
        self._begin(leg.side, reason)
        leg.abort()

    # A server is lost, and the stream goes on.

    @property
    def _waiting(self) -> bool:
        return self.state is RelayState.WAITING

    def _continues(self, cause: Cause, reason: str) -> bool:
        """The server is lost: whether another one is looked for. If so nothing else is to be done about the loss."""
        if not self.continuable:
            self.unrecoverable = self._continuation is not None and not self.ending and not self._waiting
            return False
        if self.on_loss is None or not self.on_loss(cause, reason):
            return False
        self._leave_server()
        return True

    def _goes_on_without(self, leg: Leg) -> bool:
        """The leg's connection is lost: whether that is a server's which another one is looked for in place of."""
        return leg is self.upstream and leg.close_received is None and self._continues("lost", _LOST)

    @property
    def continuable(self) -> bool:
        """Whether the stream could go on with another server now."""
        if self._continuation is None or self._waiting or self.client.transport is None:
            return False
        # In a drain the server's last messages are still to reach the client.
        draining = self._client_wants is not None and self.client.close_sent is None
        return (not self.ending or draining) and self._continuation.possible

    def _leave_server(self) -> None:
        kept = self._continuation
        if kept is None:
            raise RuntimeError("a stream without a window cannot leave its server")
        old = self.upstream
        self._cancel_insertion(old)
        transport = old.abandon()
        kept.window.frozen = True
        self.state = RelayState.WAITING
        self._passed_on = self.client.scanner.binary_bytes
        # Keeps what the client sends from now on; after a CloseStream of ours that is nothing.
        if not self.client.scanner.stopped:
            self.client.pass_to(kept.window.passing_to(None))
        if self.client.transport is not None and not self.client.transport.is_closing():
            self.client.transport.resume_reading()
        if transport is not None:
            if old.close_sent is None:
                code = old.close_received[0] if old.close_received is not None else CloseCode.NORMAL
                transport.write(close_frame(code, masked=True))
            transport.close()
            # Also once the stream has ended: a server that hangs takes what is buffered never.
            Later(self.loop, self.limits.close, transport.abort)

    def _window_full(self) -> None:
        if self.client.transport is not None and not self.client.transport.is_closing():
            self.client.transport.pause_reading()

    @property
    def wants_server(self) -> bool:
        """Whether the client still waits for another server."""
        return self._waiting and self.client.transport is not None and self.client.close_sent is None

    @property
    def audio_bytes(self) -> int:
        """How many bytes of audio a server was sent; what is kept until another one is found does not count."""
        return self.client.scanner.binary_bytes if self._passed_on is None else self._passed_on

    @property
    def unfinished_bytes(self) -> int:
        """How much audio came since the last final words."""
        return self._continuation.next_server()[1] if self._continuation is not None else 0

    def resume(self, transport: asyncio.Transport, early: bytes, on_message: Callable[[], None]) -> int:
        """Another server takes the stream over. Returns how many bytes of audio it is sent again.

        `on_message`: called with its first message.
        """
        kept = self._continuation
        if kept is None:
            raise RuntimeError("a stream without a window cannot be resumed")
        if not self._waiting:
            self._leave_server()
        self.state = RelayState.PASSING
        offset, replayed = kept.next_server()
        old, new = self.upstream, self._upstream_leg()
        new.bytes_received = old.bytes_received
        new.scanner.messages, new.scanner.report = old.scanner.messages, old.scanner.report
        new.delivery = kept.delivery
        kept.delivery.continue_at(offset, new.scanner, on_message)
        self.upstream = new
        self._upstream_liveness = self._liveness(new)
        transport.set_protocol(new)
        new.attach(transport)
        new.pass_to(kept.delivery.write)
        for piece in kept.window.replay():
            transport.write(piece)
        if not self.client.scanner.stopped:
            self.client.pass_to(kept.window.passing_to(transport.write))
        kept.window.frozen = False
        self._passed_on = None
        if early:
            new.data_received(early)
        self._read_on()
        if self.ending:
            self._finish_upstream(CloseCode.NORMAL, "")
        return replayed

    def give_up(self, reason: str) -> None:
        """No other server was found."""
        self._begin("upstream", reason)
        self._close_client(CloseCode.INTERNAL_ERROR, reason)

    # What the legs report.

    def _client_control(self, opcode: int, payload: bytes) -> bool:
        return self._control(self.client, opcode, payload)

    def _upstream_control(self, opcode: int, payload: bytes) -> bool:
        return self._control(self.upstream, opcode, payload)

    def _control(self, leg: Leg, opcode: int, payload: bytes) -> bool:
        if opcode == CLOSE:
            leg.close_received = parse_close(payload)
            leg.after_chunk(self._client_closed if leg is self.client else self._upstream_closed)
            return False
        if opcode == PONG and payload == PING_PAYLOAD:
            return False
        if not leg.scanner.stopped and self.upstream.transport is not None:
            return True
        # Nobody else replies to it any more. Section 5.5.3 permits no pong for a peer that does not read.
        if opcode == PING and leg.close_sent is None and not leg.full and leg.at_frame_boundary:
            leg.write(frame(PONG, payload, masked=leg.masked))
        return False

    def _client_closed(self) -> None:
        code, reason = self.client.close_received or (CloseCode.NO_STATUS, "")
        self._begin("client", reason)
        self._reply_close(self.client, code, reason)
        self._finish_upstream(code, reason)

    def _upstream_closed(self) -> None:
        code, reason = self.upstream.close_received or (CloseCode.NO_STATUS, "")
        if is_servers_fault(code, reason) and self._continues("closed", f"{code} {reason}"):
            return
        if self._continuation is not None:
            self._continuation.delivery.flush(closed=True)
        self._begin("upstream", reason)
        self._close_client(code, reason)
        if self._initiator == "client" and self.client.close_received is not None:
            code, reason = self.client.close_received
        self._reply_close(self.upstream, code, reason)

    def violated(self, leg: Leg, violation: ProtocolViolation) -> None:
        """The leg's peer broke RFC 6455: both hops are closed, with the code that says how."""
        if leg is self.upstream and self._continues("invalid", violation.reason):
            return
        leg.stop_scanning()
        log.info("protocol violation", side=leg.side, reason=violation.reason, offset=violation.offset)
        self._begin(leg.side, violation.reason)
        if leg is self.client:
            self._close_client(violation.code, violation.reason)
            if self.state is not RelayState.FINISHING or self.upstream in self._insertions:
                # Else the server is about to report.
                self._close_hop(self.upstream, violation.code, violation.reason)
        else:
            reason = f"NET-0000: the STT server broke the protocol: {violation.reason}"
            self._close_client(CloseCode.INTERNAL_ERROR, reason)
            self._close_hop(self.upstream, violation.code, violation.reason)

    def half_closed(self, leg: Leg) -> None:
        """The leg's peer has ended its side: what it is still to get is sent, but not waited for without end."""
        if self._goes_on_without(leg):
            return
        self._close_connection(leg)

    def lost(self, leg: Leg, exc: Exception | None) -> None:
        """The leg's connection is closed, with or without a closing handshake."""
        if self._goes_on_without(leg):
            return
        leg.peer.stop_passing()
        if self.upstream.transport is None:
            self.state = RelayState.CLOSING
        if leg is self.client:
            reason = "client connection lost"
            self._begin("client", f"{reason}: {exc}" if exc else reason)
        else:
            reason = _LOST
            self._begin("upstream", reason)
        self._cancel_insertion(leg)
        if (insertion := self._cancel_insertion(leg.peer)) is not None:
            insertion.otherwise()  # its place will never come
        if leg is self.client:
            self._finish_upstream(CloseCode.INTERNAL_ERROR, reason)
        else:
            self._close_client(CloseCode.INTERNAL_ERROR, reason)
        if self.client.transport is None and self.upstream.transport is None and not self.ended.done():
            self._finished()

    # How the end goes. Each step leads to the next one within a limit, the last is that both connections are closed.

    def _begin(self, initiator: Initiator, reason: str) -> bool:
        """Note who began the end; False if it had begun before."""
        if self._initiator is not None:
            return False
        self._initiator, self._reason = initiator, reason
        return True

    def _close_client(self, code: int, reason: str) -> None:
        """Close the client's hop, with the owner's code and reason if it set them."""
        self._close_hop(self.client, *(self._client_wants or (code, reason)))

    def _finish_upstream(self, code: int, reason: str) -> None:
        """Let the server finish: CloseStream at the next message boundary, its report awaited, then a Close."""
        if self.state is not RelayState.PASSING or self.upstream.transport is None:
            return
        self.state = RelayState.FINISHING
        close = partial(self._close_hop, self.upstream, code, reason)

        def wait_for_report() -> None:
            self.client.stop_passing()
            self._after(self._finish_seconds or self.limits.finish, close)

        self._insert(
            self.upstream,
            frame(TEXT, CLOSE_STREAM, masked=True),
            whole_messages=True,
            then=wait_for_report,
            otherwise=partial(close, wait=False),
        )

    def _close_hop(self, leg: Leg, code: int, reason: str, *, wait: bool = True) -> None:
        """Send a Close on this connection at the next frame boundary, then wait for the peer's, then close it.

        `wait`: for the boundary to come; if not, and it is not now, the connection is aborted.
        """
        if leg.transport is None or leg.close_sent is not None:
            return
        leg.close_sent = code
        if leg is self.upstream or self.upstream.transport is None:
            self.state = RelayState.CLOSING

        def wait_for_reply() -> None:
            leg.peer.stop_passing()
            if leg.close_received is not None:
                self._close_connection(leg)
            else:
                self._after(self.limits.close, partial(self._close_connection, leg))

        def no_place() -> None:
            log.info("no place for a close frame, connection aborted", side=leg.side, code=code)
            leg.close_sent = None
            leg.abort()

        self._insert(
            leg,
            close_frame(code, reason, masked=leg.masked),
            whole_messages=False,
            then=wait_for_reply,
            otherwise=no_place,
            wait=wait,
        )

    def _reply_close(self, leg: Leg, code: int, reason: str) -> None:
        """The peer's Close came: reply to it, or take it for the reply to ours."""
        if leg.close_sent is None:
            self._close_hop(leg, code, reason)
        elif leg not in self._insertions:
            self._close_connection(leg)

    def _close_connection(self, leg: Leg) -> None:
        leg.close()
        # A peer that takes nothing keeps even a closing connection open.
        self._after(self.limits.close, leg.abort)

    def _insert(
        self,
        leg: Leg,
        data: bytes,
        *,
        whole_messages: bool,
        then: Callable[[], None],
        otherwise: Callable[[], None],
        wait: bool = True,
    ) -> None:
        """Put `data` into the stream towards `leg` at the next boundary between frames or between whole messages.

        `then` runs when it is written, `otherwise` if there is no such place in time. A later insertion (a Close)
        takes the place of one that waits (a CloseStream).
        """
        self._cancel_insertion(leg)
        source = leg.peer
        if leg.at_message_boundary if whole_messages else leg.at_frame_boundary:
            leg.write(data)
            then()
        elif not wait or source.transport is None or source.scanner.stopped:
            otherwise()
        else:

            def expired() -> None:
                self._cancel_insertion(leg)
                otherwise()

            def written() -> None:
                self._insertions.pop(leg, None)
                then()

            self._insertions[leg] = Insertion(
                source,
                data,
                whole_messages=whole_messages,
                then=written,
                otherwise=otherwise,
                timer=self._after(self.limits.boundary, expired),
            )

    def _cancel_insertion(self, leg: Leg) -> Insertion | None:
        insertion = self._insertions.pop(leg, None)
        if insertion is not None:
            insertion.cancel()
        return insertion

    def _after(self, seconds: float, callback: Callable[[], None]) -> Later:
        timer = Later(self.loop, seconds, callback)
        self._timers.append(timer)
        return timer

    def _finished(self) -> None:
        self.state = RelayState.ENDED
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
        if self._continuation is not None:
            self._continuation.release()
        self.on_loss = None
        self.ended.set_result(ending)


def _code(leg: Leg, *, first: bool) -> int:
    """The close code of a hop: the peer's if it began, else ours; 1006 if none was exchanged."""
    received = leg.close_received[0] if leg.close_received is not None else None
    code = (received or leg.close_sent) if first else (leg.close_sent or received)
    return code or CloseCode.ABNORMAL
