"""Relay: two WebSocket connections joined at the level of raw frames, from after both handshakes to both ends.

Bytes are not re-framed: a client's masked frame is a valid masked frame for the server, so what one leg's scanner
lets pass is written to the other leg's transport as it came. Close frames are not passed on: each has its reply on its
own hop, and one of our own is sent on the other, so that codes can change. Nothing is scheduled per chunk.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from aldea.standstill import Later, lived
from ws_proxy.websocket.continuation import Continuation, is_servers_fault
from ws_proxy.websocket.final_lag import FinalLag
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
from ws_proxy.websocket.handover import Handover
from ws_proxy.websocket.insertion import Insertions
from ws_proxy.websocket.leg import KeepingLeg, Leg
from ws_proxy.websocket.liveness import PING_PAYLOAD, Liveness
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.terms import Cause, Ending, Initiator, Limits, RelayState

log = structlog.get_logger("aldea.relay")

# Contract: the message that makes the STT server finish what is buffered, report, and close with 1000.
CLOSE_STREAM: Final = b'{"type":"CloseStream"}'

_LOST: Final = "NET-0000: connection to the STT server lost"


class Relay:
    """Both legs and the rules of their ending. `ended` is done when both connections are closed.

    With a continuation a stream outlives its server: `on_loss` then looks for another one, and `resume` or `give_up`
    follows. Until then its state is WAITING.
    """

    __slots__ = (
        "_client_liveness",
        "_client_wants",
        "_finish_seconds",
        "_handover",
        "_idle_since",
        "_initiator",
        "_insertions",
        "_messages_mark",
        "_reason",
        "_started",
        "_timers",
        "_upstream_liveness",
        "client",
        "ended",
        "final_lag",
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
        self._handover: Handover | None = None
        if continuation is None:
            self.client = Leg(self, "client", client_scanner, masked=False)
        else:
            self.client = client = KeepingLeg(self, "client", client_scanner, masked=False)
            self._handover = Handover(continuation, client)
        self.upstream = self._upstream_leg()
        self.first_words = FirstWords()
        self.final_lag: FinalLag | None = None
        self._client_liveness = self._liveness(self.client)
        self._upstream_liveness = self._liveness(self.upstream)
        self._started = self._idle_since = lived(self.loop)
        self._messages_mark = 0
        self._initiator: Initiator | None = None
        self._reason = ""
        self._client_wants: tuple[int, str] | None = None  # the Close for the client once the server has closed
        self._finish_seconds: float | None = None  # for the server's last messages, other than usual
        self._insertions = Insertions()
        self._timers: tuple[Later, ...] = ()

    def start(
        self, client: asyncio.Transport, client_bytes: bytes, upstream: asyncio.Transport, upstream_bytes: bytes
    ) -> None:
        """Begin: both transports belong to the legs now; `…_bytes` is what arrived behind the handshakes already."""
        client.set_protocol(self.client)
        upstream.set_protocol(self.upstream)
        self.client.attach(client)
        if self._handover is None:
            self.upstream.attach(upstream)
        else:
            self._handover.begin(self.upstream, upstream)
        if self.final_lag is not None:
            self.final_lag.attach(self.client, self.upstream)
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
            if self._handover is not None:
                self._handover.kept.tick(waiting=self._waiting)
            if self.final_lag is not None:
                self.final_lag.tick(self.upstream)
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
        return min(usual, hurried) if leg is self.upstream and self._handover is not None else usual

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
            self.unrecoverable = self._handover is not None and not self.ending and not self._waiting
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
        if self._handover is None or self._waiting or self.client.transport is None:
            return False
        # In a drain the server's last messages are still to reach the client.
        draining = self._client_wants is not None and self.client.close_sent is None
        return (not self.ending or draining) and self._handover.kept.possible

    def _leave_server(self) -> None:
        if self._handover is None:
            raise RuntimeError("a stream without a window cannot leave its server")
        self._insertions.cancel(self.upstream)
        self.state = RelayState.WAITING
        self._handover.leave(self.upstream, self.limits.close)

    @property
    def wants_server(self) -> bool:
        """Whether the client still waits for another server."""
        return self._waiting and self.client.transport is not None and self.client.close_sent is None

    @property
    def audio_bytes(self) -> int:
        """How many bytes of audio a server was sent; what is kept until another one is found does not count."""
        left_at = self._handover.left_at if self._handover is not None else None
        return self.client.scanner.binary_bytes if left_at is None else left_at

    @property
    def unfinished_bytes(self) -> int:
        """How much audio came since the last final words."""
        return self._handover.kept.next_server()[1] if self._handover is not None else 0

    def resume(self, transport: asyncio.Transport, early: bytes, on_message: Callable[[], None]) -> int:
        """Another server takes the stream over. Returns how many bytes of audio it is sent again.

        `on_message`: called with its first message.
        """
        if self._handover is None:
            raise RuntimeError("a stream without a window cannot be resumed")
        if not self._waiting:
            self._leave_server()
        self.state = RelayState.PASSING
        old, self.upstream = self.upstream, self._upstream_leg()
        self._upstream_liveness = self._liveness(self.upstream)
        replayed = self._handover.take_over(old, self.upstream, transport, on_message)
        if early:
            self.upstream.data_received(early)
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
        if self._handover is not None:
            self._handover.kept.delivery.flush(closed=True)
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
        self._insertions.cancel(leg)
        if (insertion := self._insertions.cancel(leg.peer)) is not None:
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

        self._insertions.add(
            self.upstream,
            frame(TEXT, CLOSE_STREAM, masked=True),
            whole_messages=True,
            then=wait_for_report,
            within=partial(self._after, self.limits.boundary),
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

        self._insertions.add(
            leg,
            close_frame(code, reason, masked=leg.masked),
            whole_messages=False,
            then=wait_for_reply,
            within=partial(self._after, self.limits.boundary) if wait else None,
            otherwise=no_place,
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

    def _after(self, seconds: float, callback: Callable[[], None]) -> Later:
        timer = Later(self.loop, seconds, callback)
        self._timers = (*self._timers, timer)
        return timer

    def _finished(self) -> None:
        self.state = RelayState.ENDED
        for timer in self._timers:
            timer.cancel()
        self._timers = ()
        client, upstream = self.client, self.upstream
        ending = Ending(
            self._initiator or "proxy",
            self._reason,
            _code(client, first=self._initiator == "client"),
            _code(upstream, first=self._initiator == "upstream"),
        )
        client.detach()
        upstream.detach()
        if self._handover is not None:
            self._handover.kept.release()
        self.on_loss = None
        self.ended.set_result(ending)


def _code(leg: Leg, *, first: bool) -> int:
    """The close code of a hop: the peer's if it began, else ours; 1006 if none was exchanged."""
    received = leg.close_received[0] if leg.close_received is not None else None
    code = (received or leg.close_sent) if first else (leg.close_sent or received)
    return code or CloseCode.ABNORMAL
