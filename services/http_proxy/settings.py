"""Settings of the http-proxy; each limit says why it has its default."""

from typing import Self

from pydantic import Field, model_validator

from aldea.address_guard import LOOPBACK_HELP
from aldea.redis.link import RedisSettings
from aldea.service.drain import DrainSettings
from aldea.settings import Port
from aldea.tracing.settings import TracedSettings
from aldea.upstream import UpstreamSettings

MIB = 1 << 20


class HttpProxySettings(UpstreamSettings, DrainSettings, RedisSettings, TracedSettings):
    """What the http-proxy reads from its environment."""

    port: Port = Field(8102, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    lane: str = Field("local", pattern="^[A-Za-z0-9_-]{1,64}$", description="this lane's name: letters, digits, -, _")
    allow_loopback_urls: bool = Field(default=False, description=LOOPBACK_HELP)

    # Off, aiohttp reads every request, as it does those that are not plain uploads.
    raw_uploads: bool = Field(default=True, description="whether plain uploads are read without aiohttp")

    # Off, a file may overspend a limit by its own length; on, one more step in Redis for each upload of known length.
    reserve_audio: bool = Field(
        default=False, description="whether raw audio and WAV files are booked before they are transcribed"
    )

    # Two gigabytes hold a day of speech in any compressed format.
    max_body_bytes: int = Field(2048 * MIB, ge=1, description="the largest upload, in bytes")
    # A stalled mobile upload recovers within seconds or not at all; each one holds a lease and a connection meanwhile.
    upload_stall_seconds: float = Field(30.0, gt=0, description="how long an upload may bring nothing at all")
    # The thinnest speech codecs need about 750 bytes a second; slower than that is no upload but a held connection.
    upload_min_bytes_per_second: float = Field(
        500.0, ge=0, description="the average rate that an upload must reach after its first upload_stall_seconds"
    )
    # Servers are in the same network; one that does not accept within this is passed over.
    connect_seconds: float = Field(3.0, gt=0, description="how long a connection to an STT server may take")
    # The balancer cuts a connection that is silent for 330 s; the customer gets an explanation before that.
    first_byte_seconds: float = Field(300.0, gt=0, le=300, description="how long a response may take to begin")
    answer_stall_seconds: float = Field(60.0, gt=0, description="how long a response that began may stall")
    # Upload, transcription and response together; with a callback no client waits, so this alone applies.
    total_seconds: float = Field(3600.0, gt=0, description="how long one request may take as a whole")
    # Below the shortest keep-alive seen in servers (uvicorn's 5 s), so that none is used just as its server closes it.
    upstream_idle_seconds: float = Field(4.0, ge=0, description="how long an idle connection to a server is kept")

    lease_ttl_seconds: float = Field(30.0, gt=0, le=600, description="a killed process frees its slots after this")
    renew_seconds: float = Field(10.0, gt=0, le=300, description="between two renewals; well below the lease's TTL")

    callback_retries: int = Field(10, ge=0, description="how often a callback that failed is tried again")
    callback_retry_seconds: float = Field(
        30.0, gt=0, description="how long after a failed callback the next try is due"
    )
    callback_max_bytes: int = Field(
        8 * MIB, ge=1, description="the largest result that is kept for a callback, in bytes"
    )
    callback_attempt_seconds: float = Field(30.0, gt=0, description="how long one try of a callback may take")
    # What all waiting results may occupy in Redis; beyond it new callback requests are refused before any work is done.
    callback_pending_bytes: int = Field(512 * MIB, ge=1, description="the most that all waiting callbacks may hold")

    @model_validator(mode="after")
    def _loopback_is_for_one_machine(self) -> Self:
        if self.allow_loopback_urls and self.environment in {"prod", "dev"}:
            raise ValueError("ALLOW_LOOPBACK_URLS is for tests and one machine; unset it here")
        return self
