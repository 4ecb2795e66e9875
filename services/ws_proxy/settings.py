"""ws_proxy's settings."""

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from aldea.drain import DrainSettings
from aldea.settings import Port
from aldea.upstream import SERVER_LIST_HELP, ServerList
from aldea.websocket.relay import Limits


def _split(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


class Settings(DrainSettings):
    """The environment of one ws_proxy process. Times in seconds, sizes in bytes."""

    port: Port = Field(8101, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    redis_url: SecretStr = Field(description="redis://host:6379/0, or rediss:// for TLS")
    stt_upstreams: ServerList = Field(description=SERVER_LIST_HELP)
    stt_upstream_token: SecretStr | None = Field(None, description="what the STT servers take as Authorization: Token")
    lane: str = Field("local", pattern="^[A-Za-z0-9_-]{1,64}$", description="this lane's name: letters, digits, -, _")
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="comma separated origins of browsers that may connect; unset: any (keys are what protects)"
    )
    max_message_bytes: int = Field(1 << 20, ge=1024, le=64 << 20, description="the largest message a client may send")
    upstream_name_seconds: float = Field(
        10.0, ge=0, le=300, description="how long a server's addresses are kept before its name is resolved again"
    )
    upstream_connect_seconds: float = Field(2.0, gt=0, le=60, description="for a TCP (and TLS) connection to a server")
    upstream_answer_seconds: float = Field(5.0, gt=0, le=60, description="for a server's answer to the handshake")
    handshake_seconds: float = Field(10.0, gt=0, le=120, description="from a client's request to its 101, all servers")
    ping_seconds: float = Field(25.0, gt=0, le=300, description="silence from a peer or towards it before a ping")
    pong_seconds: float = Field(20.0, gt=0, le=300, description="after a ping something must come within this time")
    idle_seconds: float = Field(60.0, gt=0, le=3600, description="without a message from the client")
    stall_seconds: float = Field(60.0, gt=0, le=3600, description="a peer that takes nothing from a full buffer")
    max_stream_seconds: float = Field(12 * 3600.0, gt=0, le=7 * 86400, description="the longest a stream may last")
    finish_seconds: float = Field(5.0, gt=0, le=60, description="for a server's last report after the client's end")
    drain_finish_seconds: float = Field(10.0, gt=0, le=60, description="the same in a drain")
    close_seconds: float = Field(5.0, gt=0, le=60, description="for a peer's answer to a Close")
    boundary_seconds: float = Field(5.0, gt=0, le=60, description="for a place between two messages to come")
    lease_ttl_seconds: float = Field(30.0, gt=0, le=600, description="a killed process frees its slots after this")
    renew_seconds: float = Field(10.0, gt=0, le=300, description="between two renewals; well below the lease's TTL")
    max_offline_streams: int = Field(200, ge=0, description="streams that may begin while Redis is unreachable")

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
