"""Liveness: whether a leg's peer still lives, by what it sends and takes: looked at now and then, never per chunk."""

import os
from typing import Final

from ws_proxy.websocket.frames import PING, frame
from ws_proxy.websocket.leg import Leg

# Our pings carry this, so that their pongs are distinguished from those that the two peers exchange.
PING_PAYLOAD: Final = os.urandom(8)


class Liveness:
    """One leg's. Times in seconds of the loop's lived time."""

    __slots__ = (
        "_leg",
        "_ping_after",
        "_ping_sent_at",
        "_pong_within",
        "_quiet_since",
        "_received",
        "_sent",
        "_stall",
        "heard_since",
    )

    def __init__(self, leg: Leg, now: float, *, ping_after: float, pong_within: float, stall: float) -> None:
        """`ping_after`: silence from the peer, or towards it, before a ping; `stall`: how long it may take nothing."""
        self._leg = leg
        self._ping_after = ping_after
        self._pong_within = pong_within
        self._stall = stall
        self._received = leg.bytes_received  # when it was looked at last
        self._sent = leg.peer.bytes_received
        self.heard_since = self._quiet_since = now  # since when nothing came from it, went to it
        self._ping_sent_at: float | None = None

    def look(self, now: float) -> str | None:
        """Ping a peer that is silent; returns why it counts as lost, None: it does not."""
        leg = self._leg
        if leg.full:
            self.heard_since, self._ping_sent_at = now, None  # a full buffer has a deadline of its own
            stalled = leg.stalled(now) > self._stall
            return f"{leg.side} took no data for {self._stall:g} s" if stalled else None
        if leg.bytes_received != self._received or leg.peer.full:
            # It lives, or nobody knows: a pong cannot be read while nothing is read from it.
            self._received, self.heard_since, self._ping_sent_at = leg.bytes_received, now, None
        elif self._ping_sent_at is not None and now - self._ping_sent_at > self._pong_within:
            return f"{leg.side} did not reply to a ping within {self._pong_within:g} s"
        if leg.peer.bytes_received != self._sent:
            self._sent, self._quiet_since = leg.peer.bytes_received, now
        # Silence towards a peer would let a balancer in between forget the connection. Silence from one that is sent
        # audio all the time may be a server that hangs: the kernel's buffers would hide that for minutes.
        silent_since = min(self._quiet_since, self.heard_since)
        if now - silent_since > self._ping_after and self._ping_sent_at is None and leg.at_frame_boundary:
            leg.write(frame(PING, PING_PAYLOAD, masked=leg.masked))
            self._ping_sent_at = self._quiet_since = now
        return None
