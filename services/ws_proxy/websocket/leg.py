"""Leg: one of the two connections of a relay; its data path is `data_received`, scan, write to the peer, no more."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Literal, Protocol

from aldea.flow_control import FlowControl
from ws_proxy.websocket.delivery import Delivery
from ws_proxy.websocket.frames import ProtocolViolation
from ws_proxy.websocket.scanner import FrameScanner
from ws_proxy.websocket.window import FIRST_COUNT_BYTES, ReplayWindow

# A leg whose write buffer holds more than this pauses the other leg's reading.
HIGH_WATER_BYTES: Final = 128 * 1024
LOW_WATER_BYTES: Final = 32 * 1024
# uvloop reads at most this much at once, and it is written whole before a pause can take effect.
READ_BYTES: Final = 256_000
# What one direction can therefore hold.
MAX_BUFFERED_BYTES: Final = 384 * 1024

Side = Literal["client", "upstream"]


class LegOwner(Protocol):
    """What a leg reports beside the data that it passes on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """What its times are of."""

    def violated(self, leg: "Leg", violation: ProtocolViolation) -> None:
        """The leg's peer broke RFC 6455; what it sent before that has been passed on."""

    def half_closed(self, leg: "Leg") -> None:
        """The leg's peer sends nothing more."""

    def lost(self, leg: "Leg", exc: Exception | None) -> None:
        """The leg's connection is closed: nothing can be passed on to it."""


class Leg(asyncio.Protocol):
    """A connection, the scanner of what it sends, and the state of its closing handshake."""

    __slots__ = (
        "_feed",
        "_flow",
        "_on_audio",
        "_owner",
        "_pending",
        "_write_peer",
        "bytes_received",
        "close_received",
        "close_sent",
        "delivery",
        "masked",
        "peer",
        "scanner",
        "side",
        "transport",
    )

    def __init__(self, owner: LegOwner, side: Side, scanner: FrameScanner, *, masked: bool) -> None:
        """`masked`: whether frames that we send on this connection are masked (we are its client)."""
        self._owner = owner
        self.side = side
        self.scanner = scanner
        self.masked = masked
        self.transport: asyncio.Transport | None = None
        self.peer: Leg = self  # until the owner joins two legs
        self.bytes_received = 0
        self.close_received: tuple[int, str] | None = None
        self.close_sent: int | None = None  # also while it waits for its place
        self.delivery: Delivery | None = None  # what takes its messages to the peer, if they are not just passed on
        # What a control frame causes must not overtake the data that came before it in the same chunk.
        self._pending: list[Callable[[], None]] | None = None
        self._flow: FlowControl | None = None  # once the peer has taken too little
        self._feed: Callable[[bytes], bytes] = scanner.feed
        self._on_audio: Callable[[], None] | None = None
        self._write_peer: Callable[[bytes], None] = _drop

    # The event loop's side.

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        try:
            # Taken out of their slots first: what is called on `self` is looked for among the class's methods.
            feed = self._feed
            out = feed(data)
        except ProtocolViolation as violation:
            out = violation.passed
            self.after_chunk(partial(self._owner.violated, self, violation))
        if out:
            write = self._write_peer
            write(out)
        if self._pending is not None:
            self._run_pending()

    def eof_received(self) -> None:
        """Returning None closes the transport: a half-closed WebSocket is of no use to anybody."""
        self._owner.half_closed(self)

    def pause_writing(self) -> None:
        if self._flow is None and self.transport is not None:
            self._flow = FlowControl(self._owner.loop, self.transport)
        if self._flow is not None:
            self._flow.pause()
        reading = self.peer.transport
        if reading is not None and not reading.is_closing():
            reading.pause_reading()

    def resume_writing(self) -> None:
        if self._flow is not None:
            self._flow.resume()
        reading = self.peer.transport
        if reading is not None and not reading.is_closing():
            reading.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = self._flow = None
        self._owner.lost(self, exc)

    # The owner's side.

    @property
    def full(self) -> bool:
        """Whether its peer takes less than it is sent, so that the other leg is not read."""
        return self._flow is not None and self._flow.paused

    def stalled(self, now: float) -> float:
        """For how many seconds its peer has taken nothing from a full buffer; `now`: the loop's lived time."""
        return 0.0 if self._flow is None else self._flow.stalled(now)

    @property
    def at_frame_boundary(self) -> bool:
        """Whether the stream towards this leg is between two frames."""
        source = self.peer
        return source.scanner.between_frames if source.delivery is None else source.delivery.between_messages

    @property
    def at_message_boundary(self) -> bool:
        """Whether the stream towards this leg is between two messages."""
        source = self.peer
        return source.scanner.between_messages if source.delivery is None else source.delivery.between_messages

    def attach(self, transport: asyncio.Transport) -> None:
        """Use this transport, and pass on to it what the peer sends."""
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        self.transport = transport
        self.peer._write_peer = transport.write  # noqa: SLF001 - two legs are one mechanism

    @property
    def passes_by(self) -> Callable[[bytes], None]:
        """What passes on what this leg sends."""
        return self._write_peer

    def pass_to(self, write: Callable[[bytes], None] | None) -> None:
        """Pass on what this leg sends by `write` from now on; None: to nobody."""
        self._write_peer = write or _drop

    def at_first_audio(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, before the first binary byte of the peer is passed on; costs nothing afterwards."""
        self._on_audio = callback
        self._feed = self._feed_until_audio

    def _feed_until_audio(self, data: bytes) -> bytes:
        out = self.scanner.feed(data)
        if self.scanner.binary_bytes and self._on_audio is not None:
            if self._feed == self._feed_until_audio:  # the scan may have ended the scanning
                self._feed = self.scanner.feed
            self._on_audio()
            self._on_audio = None
        return out

    def after_chunk(self, callback: Callable[[], None]) -> None:
        """From within a scan: run `callback` once what the chunk lets pass has been written."""
        if self._pending is None:
            self._pending = []
        self._pending.append(callback)

    def _run_pending(self) -> None:
        callbacks, self._pending = self._pending, None
        for callback in callbacks or ():
            callback()

    def write(self, data: bytes) -> None:
        """Send bytes of our own on this connection, if it is still there."""
        if self.transport is not None:
            self.transport.write(data)

    def stop_passing(self) -> None:
        """Nothing more that this leg sends reaches the other one; it is still read, for control frames."""
        self.scanner.stop()
        self._write_peer = _drop
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()  # a stalled peer no longer holds it back

    def stop_scanning(self) -> None:
        """What this leg sends is not even looked at any more: after a violation its frames have no meaning."""
        self.stop_passing()
        self._feed = _ignore

    def close(self) -> None:
        """Close the connection once what is buffered has been sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once; what is buffered is lost."""
        if self.transport is not None:
            self.transport.abort()

    def abandon(self) -> asyncio.Transport | None:
        """Another leg takes this one's place: it reports nothing more, and nothing of its peer's is its business.

        Returns the transport that is still open.
        """
        transport, self.transport = self.transport, None
        self._owner = _NOBODY
        self._feed = _ignore
        self._write_peer = _drop
        self._pending = None
        self._flow = None
        self.peer = self
        self.scanner.release()
        return transport

    def detach(self) -> None:
        """Break the reference cycles of a relay that has ended; only the counters are of use afterwards."""
        self._feed = _ignore
        self._write_peer = _drop
        self._pending = self._on_audio = None
        self.scanner.release()
        self.delivery = None
        # A server that was left may still be connected: what it reports is nobody's business.
        self._owner = _NOBODY
        del self.peer


class KeepingLeg(Leg):
    """A client's whose stream may go on with another server: what it lets pass is kept too, in a replay window."""

    __slots__ = ("_chunks", "_look_at", "_window")

    def __init__(self, owner: LegOwner, side: Side, scanner: FrameScanner, *, masked: bool) -> None:
        super().__init__(owner, side, scanner, masked=masked)
        self._chunks: list[bytes] = []
        self._look_at = FIRST_COUNT_BYTES  # what `bytes_received` is when the window is to be looked at
        self._window: ReplayWindow | None = None

    def keep(self, window: ReplayWindow) -> None:
        """Keep in `window` what passes from now on."""
        self._window = window
        self._chunks = window.chunks

    def data_received(self, data: bytes) -> None:
        # As a Leg does it: a call for each chunk would cost more than what is done here.
        received = self.bytes_received = self.bytes_received + len(data)
        try:
            feed = self._feed
            out = feed(data)
        except ProtocolViolation as violation:
            out = violation.passed
            self.after_chunk(partial(self._owner.violated, self, violation))
        if out:
            self._chunks.append(out)
            write = self._write_peer
            write(out)
            if received >= self._look_at and self._window is not None:
                self._look_at = received + self._window.grown()
        if self._pending is not None:
            self._run_pending()


class _Nobody:
    """The owner of a leg that was abandoned."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def violated(self, leg: Leg, violation: ProtocolViolation) -> None:
        pass

    def half_closed(self, leg: Leg) -> None:
        pass

    def lost(self, leg: Leg, exc: Exception | None) -> None:
        pass


_NOBODY: Final = _Nobody()


def _drop(_data: bytes) -> None:
    pass


def _ignore(_data: bytes) -> bytes:
    return b""
