"""What sqs_updater reads from the environment."""

from pydantic import Field

from aldea.postgres import PostgresSettings
from aldea.settings import Port
from aldea.sqs_settings import SqsSettings


class Settings(PostgresSettings, SqsSettings):
    """The worker's settings; its port serves health only."""

    port: Port = Field(8105, description="the TCP port of /healthz and /readyz, 0 to 65535 (0 picks a free one)")
    visibility_seconds: int = Field(
        30, ge=1, le=600, description="seconds until what a killed worker had in hand is received by another, 1 to 600"
    )
    workers: int = Field(2, ge=1, le=16, description="batches in hand at a time, 1 to 16")


class ReplaySettings(SqsSettings):
    """What `python -m sqs_updater replay` reads; it serves no port."""

    port: Port = 0
    log_level: str = "ERROR"  # standard output is the command's output
