"""What the backend reads from its environment."""

from decimal import Decimal
from typing import Final, Self

from aiohttp import web
from pydantic import Field, SecretStr, model_validator

from aldea.address_guard import LOOPBACK_HELP
from aldea.postgres import PostgresSettings
from aldea.redis.link import RedisSettings
from aldea.service.client_address import client_address
from aldea.settings import Port
from aldea.sqs_settings import SqsSettings
from aldea.tracing.settings import ForwardedTracedSettings
from backend.alerts.mail import MailUrl

OF_A_BALANCER: Final = "X-Forwarded-Port"


class PlanSettings(PostgresSettings):
    """What new accounts and projects are given."""

    plan_requests_per_minute: int | None = Field(
        600, gt=0, description="requests per minute of a new project, a positive number"
    )
    plan_concurrent_streams: int | None = Field(
        100, gt=0, description="concurrent requests of a new project, a positive number"
    )
    plan_monthly_audio_seconds: int | None = Field(
        3_600_000, ge=0, description="audio seconds per UTC month of a new project, 0 or more"
    )
    plan_credit_usd: Decimal = Field(
        Decimal(200), ge=0, le=1_000_000, description="credit of a new account's first project in US dollars"
    )
    price_per_hour_usd: Decimal = Field(
        Decimal("0.36"),
        ge=0,
        le=1000,
        decimal_places=6,
        description="the price book's first price of an hour of audio in US dollars; only the migration that makes the"
        " book reads it, later prices are added by operators; 0 to 1000, at most 6 decimals",
    )


class BackendSettings(PlanSettings, RedisSettings, SqsSettings, ForwardedTracedSettings):
    """The Platform API's settings."""

    port: Port = Field(8103, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    console_origin: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+$",
        description="the console's origin, for example https://platform.example.com",
    )
    lease_ttl_seconds: float = Field(
        30.0, gt=0, le=600, description="the proxies' LEASE_TTL_SECONDS: after two of them a silent request is closed"
    )
    usage_claim_seconds: float = Field(
        30.0, gt=0, le=600, description="how long readings stay with a publisher that stopped until another takes over"
    )
    session_days: float = Field(14, gt=0, le=365, description="days until a sign-in ends by itself, up to 365")
    usage_max_days: int = Field(
        366, ge=1, le=3660, description="days that one question about usage may span, 1 to 3660"
    )
    usage_retention_months: int = Field(
        13,
        ge=1,
        le=1200,
        description="months that single requests are kept beside the present one; totals stay for ever",
    )
    allow_loopback_urls: bool = Field(default=False, description=LOOPBACK_HELP)
    mail_url: SecretStr | None = Field(
        None,
        description="how mails are sent: smtps://user:password@host:465, smtp://user:password@host:587 (STARTTLS), or"
        " file:/folder to write them there; unset: none are sent",
    )
    mail_from: str = Field(
        "Aldea <no-reply@aldea.ai>",
        max_length=254,
        pattern=r"^(?:[^<>@\x00-\x1f]+<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)$",
        description="the sender of mails, as Name <name@example.com> or name@example.com",
    )

    def trace_caller(self, request: web.BaseRequest) -> str:
        """The console's own address where it calls, and not its reader's, which it passes on for the throttles.

        It comes past no load balancer: one of ours writes X-Forwarded-Port into all that comes through it.
        """
        return client_address(request, self.forwarded_hops if OF_A_BALANCER in request.headers else 0)

    @model_validator(mode="after")
    def _loopback_is_for_one_machine(self) -> Self:
        if self.allow_loopback_urls and self.environment in {"prod", "dev"}:
            raise ValueError("ALLOW_LOOPBACK_URLS is for tests and one machine; unset it here")
        return self

    @model_validator(mode="after")
    def _mails_can_be_sent(self) -> Self:
        if self.mail_url is not None:
            try:
                MailUrl.of(self.mail_url.get_secret_value())
            except ValueError as error:
                raise ValueError(f"MAIL_URL: {error}") from None
        return self
