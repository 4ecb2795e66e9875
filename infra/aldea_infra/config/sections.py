"""The sections of a stack's configuration: what each value means, and what it may be. YAML keys are camelCase."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from aldea_infra.catalogue import FARGATE_MEMORY, ROLES, Image, Role
from aldea_infra.routing import Hosts

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# An address in a mail's header or in a link: one line of ASCII that nothing needs to quote.
EMAIL: Final = r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
PORT: Final = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
PATH: Final = r"[!#-;=?-\[\]-~]*"  # printable, without quotes, angle brackets and backslash
TRACE_PATH: Final = r"[!#-;=?-\[\]-z|~]*"  # the same without braces
PAGE: Final = rf"https://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?(?:[/?#]{PATH})?"
Seconds = Annotated[int, Field(ge=0, le=3600, description="seconds, 0 to 3600")]


class Section(BaseModel):
    """A frozen part of the configuration; YAML keys are camelCase, unknown ones are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class StackSection(Section):
    """Who this deployment is."""

    environment: str = Field(pattern=r"^[a-z][a-z0-9-]{0,15}$", description="a short lower-case word")
    account_id: str = Field(pattern=r"^\d{12}$", description="the AWS account's twelve digits, in quotes")
    region: str = Field("us-west-2", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="an AWS region's name")
    cluster: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$", description="2 to 31 lower-case letters, digits, hyphens")
    name_prefix: str = Field("", pattern=r"^([a-z][a-z0-9]*-)?$", description="empty, or a word and a hyphen")
    architecture: Literal["X86_64", "ARM64"] = Field("X86_64", description="X86_64 or ARM64")
    log_retention_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400] = Field(
        30, description="a retention CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 or 400 days"
    )
    spot: bool = Field(default=False, description="true to run on Fargate Spot beside one ordinary task per service")
    secret_recovery_days: Literal[0, 7, 14, 30] = Field(30, description="0, 7, 14 or 30 days")


class HostsSection(Section):
    """The public names, all inside one Route53 zone that exists already."""

    zone: str = Field(pattern=r"^[a-z0-9.-]+\.[a-z]{2,}$", description="a Route53 zone's name")
    api: str
    backend: str
    platform: str

    @model_validator(mode="after")
    def _inside_the_zone(self) -> "HostsSection":
        names = self.names()
        outside = [name for name in names if not name.endswith("." + self.zone)]
        if outside or len(set(names)) != len(names):
            msg = f"got {', '.join(names)}; allowed: three different names that end in .{self.zone}"
            raise ValueError(msg)
        return self

    def names(self) -> tuple[str, str, str]:
        """The three public names."""
        return (self.api, self.backend, self.platform)

    def for_routing(self) -> Hosts:
        """As the routing table takes them."""
        return Hosts(api=self.api, backend=self.backend, platform=self.platform)


Subnets = Annotated[tuple[Annotated[str, Field(pattern="^subnet-[0-9a-f]+$")], ...], Field(min_length=2)]


class ExistingNetwork(Section):
    """A VPC that is there already, for adopting stores that cannot leave it. Its routes and endpoints are its own."""

    vpc_id: str = Field(pattern=r"^vpc-[0-9a-f]+$", description="the id of a VPC, vpc-…")
    public_subnets: Subnets = Field(description="subnet-…, one in each of 2 zones or more, routed to the internet")
    private_subnets: Subnets = Field(description="subnet-…, one in each of 2 zones or more, routed to NAT gateways")
    isolated_subnets: Subnets = Field(description="subnet-…, of the stores, one in each of 2 zones or more")
    nat_addresses: tuple[ipaddress.IPv4Address, ...] = Field(description="the NAT gateways' public addresses")


class NetworkSection(Section):
    """The VPC to make, or the one that `existing` describes; then the other values are not read."""

    cidr: str = Field(description="an IPv4 network of /16 to /20")
    zones: int = Field(ge=2, le=4, description="2 to 4 availability zones")
    nat_gateways: Literal["one-per-zone", "single"] = Field(description="one-per-zone or single")
    existing: ExistingNetwork | None = None

    @field_validator("cidr")
    @classmethod
    def _a_usable_network(cls, value: str) -> str:
        network = ipaddress.ip_network(value)
        if network.version != 4 or not network.is_private or not 16 <= network.prefixlen <= 20:
            msg = f"got {value}; allowed: a private IPv4 network of /16 to /20, such as 10.40.0.0/16"
            raise ValueError(msg)
        return value


class WafSection(Section):
    """The WAF on the load balancer."""

    allowlist: tuple[str, ...] = Field((), description="IPv4 networks exempt from geo blocking and rate limiting")
    blocked_countries: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = Field(
        (), max_length=50, description="up to 50 two-letter country codes"
    )
    rate_limit: int = Field(ge=10, le=2_000_000_000, description="requests of one address per window, 10 to 2000000000")
    rate_window_seconds: Literal[60, 120, 300, 600] = Field(300, description="60, 120, 300 or 600")

    @field_validator("allowlist")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if ipaddress.ip_network(entry).version != 4:
                msg = f"got {entry}; allowed: IPv4 networks such as 203.0.113.0/24"
                raise ValueError(msg)
        return value


class EdgeSection(Section):
    """How clients reach the load balancer."""

    accelerator: bool = Field(description="true: private load balancer behind Global Accelerator")
    waf: WafSection | None = None


class BalancerSection(Section):
    """The load balancer."""

    deletion_protection: bool
    access_log_days: int = Field(30, ge=1, le=3650, description="days to keep access logs, 1 to 3650")


class LaneSection(Section):
    """One STT server and its share of the traffic."""

    scheme: Literal["http", "https"] = "http"
    host: str = Field(pattern=r"^[A-Za-z0-9.-]+$", description="the STT server's host name")
    port: int = Field(8800, ge=1, le=65535)
    weight: int = Field(ge=0, le=999, description="0 to 999, the load balancer's weights")
    private: bool = Field(default=False, description="true: reached inside the VPC or a network peered with it")
    images: Mapping[Image, Digest] = Field(
        default_factory=dict, description="digests that this lane's proxies run, while a release is delivered in stages"
    )
    takes_fallback: bool = Field(default=True, description="false: no other lane falls back to this server")

    @model_validator(mode="after")
    def _encrypted_outside(self) -> "LaneSection":
        if self.scheme == "http" and not self.private:
            raise ValueError(
                f"got scheme http for {self.host}; allowed: https, or http with private: true for a server inside the "
                "VPC or a network peered with it. Otherwise audio and the token cross the internet in the clear"
            )
        return self

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"{self.scheme}://{self.host}:{self.port}"


class ServiceSection(Section):
    """One ECS service."""

    role: Role
    lane: str | None = None
    cpu: int = Field(description="Fargate CPU units: 256, 512, 1024, 2048 or 4096")
    memory: int = Field(description="MB, a size that Fargate offers with that CPU")
    min_tasks: int = Field(ge=0, le=200)
    max_tasks: int = Field(ge=1, le=200)
    cpu_target: int = Field(60, ge=10, le=90, description="the average CPU percentage that scaling keeps, 10 to 90")
    streams_target: int | None = Field(None, ge=1, description="active streams per task that scaling keeps")
    deregistration_seconds: Seconds = 30
    scale_in_cooldown_seconds: Seconds = 300

    @model_validator(mode="after")
    def _consistent(self) -> "ServiceSection":
        sizes = FARGATE_MEMORY.get(self.cpu)
        if sizes is None:
            raise ValueError(f"got cpu {self.cpu}; allowed: {', '.join(map(str, FARGATE_MEMORY))}")
        if self.memory not in sizes:
            raise ValueError(f"got memory {self.memory} with cpu {self.cpu}; allowed: {', '.join(map(str, sizes))} MB")
        if self.min_tasks > self.max_tasks:
            raise ValueError(f"got minTasks {self.min_tasks} above maxTasks {self.max_tasks}; swap or raise maxTasks")
        if ROLES[self.role].needs_lane != (self.lane is not None):
            need = "needs" if ROLES[self.role].needs_lane else "takes no"
            raise ValueError(f"got lane {self.lane!r}; the role {self.role} {need} lane")
        if self.scale_in_cooldown_seconds < self.deregistration_seconds:
            raise ValueError(
                f"got scaleInCooldownSeconds {self.scale_in_cooldown_seconds}, below the drain of "
                f"{self.deregistration_seconds} s; allowed: the drain's length or more, or scaling sheds tasks in a row"
            )
        return self


class RedisSection(Section):
    """ElastiCache."""

    id: str = Field(pattern=r"^[a-z](-?[a-z0-9]){0,39}$", description="up to 40 lower-case letters, digits, hyphens")
    node_type: str = Field(pattern=r"^cache\.[a-z0-9]+\.[a-z0-9]+$", description="an ElastiCache node type, cache.…")
    nodes: int = Field(ge=1, le=6, description="1 to 6; from 2 on, Multi-AZ with automatic failover")
    snapshot_days: int = Field(0, ge=0, le=35)


class DatabaseSection(Section):
    """RDS for PostgreSQL."""

    id: str = Field(pattern=r"^[a-z](-?[a-z0-9]){0,62}$", description="up to 63 lower-case letters, digits, hyphens")
    instance_class: str = Field(pattern=r"^db\.[a-z0-9]+\.[a-z0-9]+$", description="an RDS instance class, db.…")
    storage_gb: int = Field(ge=20, le=65536)
    max_storage_gb: int = Field(ge=20, le=65536)
    multi_az: bool
    backup_days: int = Field(ge=1, le=35)
    protected: bool = Field(description="true: deletion protection, final snapshot, and `protect` in Pulumi")
    # The smallest instance classes do not have it.
    performance_insights: bool = Field(default=False, description="true to keep a week of query statistics")


class QueueSection(Section):
    """The usage queue."""

    name: str = Field("usage-updates-queue", pattern=r"^[A-Za-z0-9_-]{1,70}$")
    max_receive_count: int = Field(50, ge=50, le=1000, description="50 to 1000: an outage must not fill the DLQ")


class AlarmsSection(Section):
    """Alarms and who hears of them."""

    enabled: bool
    email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$", description="an e-mail address")
    waf_blocks_per_5_minutes: int = Field(1000, ge=1)
    first_words_seconds: float = Field(
        10, gt=0, le=50, description="seconds that half of a lane's streams may wait for their first words, up to 50"
    )


class CanarySection(Section):
    """How often the canary service (role canary) looks, where a stack has one."""

    interval_seconds: int = Field(60, ge=15, le=3600)


class MailSection(Section):
    """What the backend's mails say of their sender. How they are sent is the secret `mailUrl`."""

    sender: str | None = Field(
        default=None,
        alias="from",
        max_length=254,
        # The name is not quoted, so it has none of the special characters (RFC 5322 section 3.2.3).
        pattern=rf"^(?:\w[\w .'&+!/-]* <{EMAIL}>|{EMAIL})$",
        description="Name <name@example.com> or name@example.com, up to 254 characters; in the name letters, digits, "
        "spaces and . ' & + ! / -",
    )


class ConsoleSection(Section):
    """What the console links to beside its own pages."""

    support_address: str | None = Field(
        default=None,
        max_length=300,
        pattern=rf"^(?:{EMAIL}|{PAGE})$",
        description="support's e-mail address, name@example.com, or its page, https://…; up to 300 characters",
    )
    status_url: str | None = Field(
        default=None,
        max_length=300,
        pattern=rf"^(?:{PAGE}|/(?:[!#-.0-;=?-\[\]-~]{PATH})?)$",
        description="the status page, https://…, or a path of the console's host, /…; up to 300 characters",
    )
    trace_url: str | None = Field(
        default=None,
        max_length=300,
        pattern=rf"^https://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?/{TRACE_PATH}\{{trace_id\}}{TRACE_PATH}$",
        description="where operators look at a trace, https://… with {trace_id} in its path; up to 300 characters",
    )


class UploadsSection(Section):
    """How recorded audio is admitted."""

    reserve_audio: bool = Field(
        default=False, description="true: raw audio and WAV files are booked before they are transcribed"
    )


class TracesSection(Section):
    """Where the services send spans of what they do; none are recorded without an endpoint."""

    endpoint: str | None = Field(
        default=None,
        max_length=300,
        pattern=rf"^https?://[A-Za-z0-9.-]+:{PORT}$",
        description="an OTLP/HTTP collector's scheme, host and port, http://collector.example.com:4318",
    )
    share: float = Field(0.1, ge=0, le=1, description="the share of the requests that are recorded, 0 to 1")

    @property
    def port(self) -> int | None:
        """The collector's, None without one."""
        return None if self.endpoint is None else int(self.endpoint.rpartition(":")[2])


class GithubSection(Section):
    """The repository whose workflows may preview and deploy."""

    repository: str = Field(
        # Repositories made or renamed since 15 July 2026 have numbers in their tokens' subjects.
        pattern=r"^([\w.-]+/[\w.-]+|[\w.-]+@[0-9]+/[\w.-]+@[0-9]+)$",
        description="ORGANISATION/REPOSITORY, or ORGANISATION@ID/REPOSITORY@ID (docs/deploy.md says which)",
    )
    oidc: Literal["create", "existing"] = Field(description="create, or existing: the provider is one per account")
    preview_subject: str = Field(description="what follows repo:ORG/REPO: in the token, pull_request or environment:…")
    deploy_environment: str = Field(pattern=r"^[\w-]+$", description="the GitHub environment that may deploy")
    state_bucket: str | None = Field(None, description="the S3 bucket of Pulumi's state; unset with Pulumi Cloud")
    state_key_arn: str | None = Field(None, pattern=r"^arn:aws:kms:", description="the KMS key's ARN of the state")
