"""What the embedded STT server reads from the environment."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from aldea.address_guard import LOOPBACK_HELP
from aldea.settings import Port, ServiceSettings
from stt_api.model import Model, chosen


def default_workers() -> int:
    """Two recognition processes at most: it shares its machine with the rest of the platform."""
    return min(2, os.cpu_count() or 1)


class SttSettings(ServiceSettings):
    """The embedded STT server's settings; the recogniser's own parameters are constants of `stt_api.recognition`."""

    port: Port = Field(8800, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    stt_api_token: SecretStr | None = Field(
        None,
        description="the token that callers must send as 'Authorization: Token <token>'; unset: everybody may call",
    )
    stt_engine: Literal["moonshine", "pocketsphinx"] | None = Field(
        None, description="what recognizes speech: moonshine or pocketsphinx; unset: moonshine where it is installed"
    )
    stt_model_path: Path | None = Field(
        None, description="a folder with another model for the engine; nothing is fetched; unset: the engine's own"
    )
    stt_workers: int = Field(
        default_factory=default_workers, ge=1, le=64, description="recognition processes, 1 to 64 (one core each)"
    )
    stt_streams_per_worker: int = Field(
        8, ge=1, le=64, description="streams (or channels) that one recognition process serves at once, 1 to 64"
    )
    stt_waiting_streams: int = Field(
        64, ge=0, le=10_000, description="requests that may wait for a free place before others get 503, 0 to 10000"
    )
    stt_waiting_seconds: float = Field(
        5.0, ge=0, le=300, description="seconds that a request waits for a free place before it gets 503, 0 to 300"
    )
    stt_silence_seconds: float = Field(
        10.0, gt=0, le=3600, description="seconds without audio or text after which a live stream is closed, up to 3600"
    )
    stt_max_body_bytes: int = Field(
        1 << 30,
        ge=1,
        description="bytes of recorded audio accepted in one request (1 GiB: an hour of 24-bit stereo); beyond it 413",
    )
    stt_max_audio_seconds: float = Field(
        14_400.0, gt=0, description="seconds of audio accepted in one recorded request; beyond it 400"
    )
    stt_worker_memory_mb: int | None = Field(
        None,
        ge=512,
        description="memory in MB that a recognition process may use, 512 or more; unset: 1024, and 96 for each stream",
    )
    allow_loopback_urls: bool = Field(default=False, description=LOOPBACK_HELP)

    @property
    def worker_memory_mb(self) -> int:
        """The memory bound of a recognition process: a decoder takes 50 MB, audio that is decoded some more."""
        return self.stt_worker_memory_mb or 1024 + 96 * self.stt_streams_per_worker

    @property
    def model(self) -> Model:
        """The engine and model to use. Raises ValueError."""
        return chosen(self.stt_engine, self.stt_model_path)

    @model_validator(mode="after")
    def _model_is_here(self) -> Self:
        chosen(self.stt_engine, self.stt_model_path)
        return self

    @model_validator(mode="after")
    def _loopback_is_for_one_machine(self) -> Self:
        if self.allow_loopback_urls and self.environment in {"prod", "dev"}:
            raise ValueError("ALLOW_LOOPBACK_URLS is for tests and one machine; unset it here")
        return self
