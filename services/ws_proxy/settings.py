"""ws_proxy's settings."""

import re
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from aldea.redis.link import RedisSettings
from aldea.service.lane import LaneSettings
from aldea.settings import Port
from aldea.tracing.settings import TracedSettings
from aldea.upstream import UpstreamSettings
from ws_proxy.websocket.terms import Limits

# What a browser sends as Origin (RFC 6454 section 6.2): lower case, the scheme's own port left out, no path. Written in
# another way a setting would match nothing.
_ORIGIN: Final = re.compile(r"(?!https://.*:443$|http://.*:80$)[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+")


def _origins(value: object) -> object:
    """Origins from a comma separated text. Raises ValueError: what was got, what is allowed."""
    if not isinstance(value, str):
        return value
    origins = tuple(filter(None, (part.strip() for part in value.split(","))))
    for origin in origins:
        if origin != "null" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin as browsers send it, such as https://app.example.com")
    return origins


class Settings(UpstreamSettings, LaneSettings, RedisSettings, TracedSettings):
    """The environment of one ws_proxy process. Times in seconds, sizes in bytes."""

    port: Port = Field(8101, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    lane: str = Field("local", pattern="^[A-Za-z0-9_-]{1,64}$", description="this lane's name: letters, digits, -, _")
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        (), description="comma separated origins of pages that may connect, https://app.example.com; unset: any"
    )
    # A second of audio is 32 KB, a long one of many channels a few hundred; a message is forwarded as it comes, so this
    # bounds no memory here but what a server must hold.
    max_message_bytes: int = Field(1 << 20, ge=1024, le=64 << 20, description="the largest message a client may send")

    # Opening. A server in the same network responds in milliseconds. Together one dead and one hanging server leave
    # time for a third, and the customer's SDK (30 s and more) is not kept waiting.
    upstream_connect_seconds: float = Field(2.0, gt=0, le=60, description="for a TCP (and TLS) connection to a server")
    upstream_answer_seconds: float = Field(5.0, gt=0, le=60, description="for a server's response to the handshake")
    handshake_seconds: float = Field(10.0, gt=0, le=120, description="from a client's request to its 101, all servers")

    # Running. Pings come before any balancer between (60 s and more) forgets a silent connection. The server itself
    # ends an idle stream after 10 s, with its last words: 60 s here are for one that does not. A stream of more than
    # half a day is somebody's forgotten microphone.
    ping_seconds: float = Field(25.0, gt=0, le=300, description="silence from a peer or towards it before a ping")
    pong_seconds: float = Field(20.0, gt=0, le=300, description="after a ping something must come within this time")
    idle_seconds: float = Field(60.0, gt=0, le=3600, description="without a message from the client")
    stall_seconds: float = Field(60.0, gt=0, le=3600, description="a peer that takes nothing from a full buffer")
    max_stream_seconds: float = Field(12 * 3600.0, gt=0, le=7 * 86400, description="the longest a stream may last")

    # Ending. A server reports within a second of a CloseStream; in a drain all of them get one at once. A message is
    # 100 ms of audio: a client that leaves one unfinished for 5 s will not finish it.
    finish_seconds: float = Field(5.0, gt=0, le=60, description="for a server's last report after the client's end")
    drain_finish_seconds: float = Field(10.0, gt=0, le=60, description="the same in a drain")
    close_seconds: float = Field(5.0, gt=0, le=60, description="for a peer's reply to a Close")
    boundary_seconds: float = Field(5.0, gt=0, le=60, description="for a place between two messages to come")

    # Unbroken streams. A final result comes every few seconds of speech: 20 s are for a talker without a pause.
    # A restarted server is back within the hold; a client that had to wait for longer would rather connect again.
    replay_seconds: float = Field(
        20.0, ge=0, le=300, description="raw audio kept since the last final, to be sent to another server; 0: none"
    )
    replay_bytes: int = Field(
        256 << 20, ge=1 << 20, le=16 << 30, description="what is kept of all streams of the process together, in bytes"
    )
    failover_hold_seconds: float = Field(
        10.0, ge=0, le=120, description="how long a stream is held while no STT server can take it over"
    )

    # Admission. Two renewals in a row may fail before a lease lapses; a revoked key's stream ends within one.
    lease_ttl_seconds: float = Field(30.0, gt=0, le=600, description="a killed process frees its slots after this")
    renew_seconds: float = Field(10.0, gt=0, le=300, description="between two renewals; well below the lease's TTL")
    max_offline_streams: int = Field(200, ge=0, description="streams that may begin while Redis is unreachable")

    @model_validator(mode="after")
    def _leases_outlive_a_failed_renewal(self) -> Self:
        if self.renew_seconds * 2 > self.lease_ttl_seconds:
            raise ValueError(
                f"RENEW_SECONDS: got {self.renew_seconds:g} with a LEASE_TTL_SECONDS of {self.lease_ttl_seconds:g}; "
                "allowed: at most half of it, so that one renewal may fail"
            )
        return self

    def limits(self) -> Limits:
        """What every relay enforces."""
        return Limits(
            client_message_bytes=self.max_message_bytes,
            ping_after=self.ping_seconds,
            pong_within=self.pong_seconds,
            idle=self.idle_seconds,
            stall=self.stall_seconds,
            boundary=self.boundary_seconds,
            finish=self.finish_seconds,
            close=self.close_seconds,
            duration=self.max_stream_seconds,
        )
