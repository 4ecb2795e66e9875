"""Handover: how a stream's two legs are joined so that its server can be replaced, and how another one takes over."""

import asyncio
from collections.abc import Callable

from aldea.standstill import Later
from ws_proxy.websocket.continuation import Continuation
from ws_proxy.websocket.frames import CloseCode, close_frame
from ws_proxy.websocket.leg import KeepingLeg, Leg


class Handover:
    """One stream's. The relay decides when a server is left, and which leg takes its place."""

    __slots__ = ("_client", "kept", "left_at")

    def __init__(self, kept: Continuation, client: KeepingLeg) -> None:
        self.kept = kept
        self._client = client
        self.left_at: int | None = None  # how many bytes of audio the lost server was sent, until another one is there

    def begin(self, server: Leg, to_server: asyncio.Transport) -> None:
        """The first server: what passes is kept. The client's leg is attached to its transport already."""
        kept, client = self.kept, self._client
        kept.attach(client.scanner, self)
        kept.delivery.attach(server.scanner, client.scanner, server.passes_by, server)
        server.delivery = kept.delivery
        server.attach(to_server)
        client.keep(kept.window)

    def window_full(self) -> None:
        """No more is read from the client."""
        if (transport := self._client.transport) is not None and not transport.is_closing():
            transport.pause_reading()

    def leave(self, server: Leg, close_seconds: float) -> None:
        """Let go of the server: what the client sends from now on is kept for the next one.

        `close_seconds`: for it to take the Close, if its connection is still open.
        """
        window, client = self.kept.window, self._client
        transport = server.abandon()
        window.frozen = True
        self.left_at = client.scanner.binary_bytes
        # After a CloseStream of ours the client's audio is nobody's.
        if not client.scanner.stopped:
            client.pass_to(None)
        if client.transport is not None and not client.transport.is_closing():
            client.transport.resume_reading()
        if transport is not None:
            if server.close_sent is None:
                code = server.close_received[0] if server.close_received is not None else CloseCode.NORMAL
                transport.write(close_frame(code, masked=True))
            transport.close()
            # Also once the stream has ended: a server that hangs takes what is buffered never.
            Later(asyncio.get_running_loop(), close_seconds, transport.abort)

    def take_over(self, old: Leg, new: Leg, transport: asyncio.Transport, on_message: Callable[[], None]) -> int:
        """`new` takes the place of `old`, which was left. Returns how many bytes of audio it is sent again."""
        kept = self.kept
        offset, replayed = kept.next_server()
        new.bytes_received = old.bytes_received
        new.scanner.messages, new.scanner.report = old.scanner.messages, old.scanner.report
        new.delivery = kept.delivery
        kept.delivery.continue_at(offset, new.scanner, on_message)
        transport.set_protocol(new)
        new.attach(transport)
        new.pass_to(kept.delivery.write)
        for piece in kept.window.replay():
            transport.write(piece)
        kept.window.frozen = False
        self.left_at = None
        return replayed
