"""The terms of a relay: what it enforces, where it is, and how it ended."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

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
