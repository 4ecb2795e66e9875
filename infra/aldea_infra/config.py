"""A stack's configuration: read once from `Pulumi.<stack>.yaml` into frozen, validated values.

All faults are reported in one message: what was got, what is allowed, what to do. Nothing else in the program knows
which stack it runs for.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from aldea_infra.catalogue import FARGATE_MEMORY, ROLES, Image, Role
from aldea_infra.routing import Hosts


class Secret(StrEnum):
    """A secret of the stack's configuration, encrypted there by its secrets provider."""

    REDIS_AUTH_TOKEN = "redisAuthToken"  # noqa: S105 - a name, not a token
    STT_UPSTREAM_TOKEN = "sttUpstreamToken"  # noqa: S105 - a name, not a token
    CANARY_KEY = "canaryKey"


# Which texts are allowed, and what a person is told about it.
SECRETS: Final[dict[Secret, tuple[re.Pattern[str], str]]] = {
    Secret.REDIS_AUTH_TOKEN: (
        re.compile(r"[A-Za-z0-9-]{16,128}"),
        "16 to 128 letters, digits and hyphens (it travels in URLs)",
    ),
    Secret.STT_UPSTREAM_TOKEN: (
        re.compile(r"[!-~]{8,512}"),
        "the token that the STT servers take, 8 to 512 characters",
    ),
    Secret.CANARY_KEY: (re.compile(r"org_[!-~]{8,512}"), "an API key, org_…, made after the first deployment"),
}
# Without it the canary waits: its key can be made only on a platform that runs.
OPTIONAL_SECRETS: Final = frozenset({Secret.CANARY_KEY})

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Seconds = Annotated[int, Field(ge=0, le=3600, description="seconds, 0 to 3600")]
# Logical names get 8 characters of randomness behind them; an ALB's or target group's name has 32.
ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,22}[a-z0-9]$")]


class ConfigError(Exception):
    """The stack's configuration is unusable; the text lists every fault."""


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
    """The firewall on the load balancer."""

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
    takes_fallback: bool = Field(default=True, description="false: no other lane falls back to this server")

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
    visibility_seconds: int = Field(
        150, ge=30, le=43200, description="seconds, more than twice the worker's batch deadline"
    )
    max_receive_count: int = Field(50, ge=50, le=1000, description="50 to 1000: an outage must not fill the DLQ")


class AlarmsSection(Section):
    """Alarms and who hears of them."""

    enabled: bool
    email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$", description="an e-mail address")
    waf_blocks_per_5_minutes: int = Field(1000, ge=1)


class CanarySection(Section):
    """How often the canary service (role canary) looks, where a stack has one."""

    interval_seconds: int = Field(60, ge=15, le=3600)


class GithubSection(Section):
    """The repository whose workflows may preview and deploy."""

    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="ORGANISATION/REPOSITORY")
    oidc: Literal["create", "existing"] = Field(description="create, or existing: the provider is one per account")
    preview_subject: str = Field(description="what follows repo:ORG/REPO: in the token, pull_request or environment:…")
    deploy_environment: str = Field(pattern=r"^[\w-]+$", description="the GitHub environment that may deploy")
    state_bucket: str | None = Field(None, description="the S3 bucket of Pulumi's state; unset with Pulumi Cloud")
    state_key_arn: str | None = Field(None, pattern=r"^arn:aws:kms:", description="the KMS key's ARN of the state")


class StackConfig(Section):
    """The whole configuration of a stack."""

    stack: StackSection
    hosts: HostsSection
    network: NetworkSection
    edge: EdgeSection
    balancer: BalancerSection
    lanes: Mapping[str, LaneSection]
    services: Mapping[ServiceName, ServiceSection]
    redis: RedisSection
    database: DatabaseSection
    queue: QueueSection
    alarms: AlarmsSection
    canary: CanarySection = Field(default_factory=lambda: CanarySection(interval_seconds=60))
    github: GithubSection
    images: Mapping[Image, Digest] = Field(
        default_factory=dict, description="by image, sha256: and 64 hexadecimal digits"
    )
    adopt: Mapping[str, str] = Field(default_factory=dict, description="logical resource name → cloud id to import")

    @model_validator(mode="after")
    def _fits_together(self) -> "StackConfig":
        faults = list(self._faults())
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        roles = [service.role for service in self.services.values()]
        for role in (Role.BACKEND, Role.FRONTEND, Role.SQS_UPDATER):
            if roles.count(role) != 1:
                yield f"services: got {roles.count(role)} with role {role}; allowed: exactly one"
        for role in (Role.WS_PROXY, Role.HTTP_PROXY):
            if not 1 <= roles.count(role) <= 5:
                yield f"services: got {roles.count(role)} with role {role}; allowed: 1 to 5 (target groups of one rule)"
        if roles.count(Role.CANARY) > 1:
            yield f"services: got {roles.count(Role.CANARY)} with role canary; allowed: one or none"
        for name, service in self.services.items():
            if service.lane is not None and service.lane not in self.lanes:
                yield f"services.{name}.lane: got {service.lane!r}; allowed: {', '.join(self.lanes)}"
        used = [(service.role, service.lane) for service in self.services.values() if service.lane]
        if len(used) != len(set(used)):
            yield "services: two of one role share a lane; give each its own"
        if sum(lane.weight for lane in self.lanes.values()) == 0:
            yield "lanes: every weight is 0, so no stream would be served; give one lane a weight"
        if self.database.max_storage_gb < self.database.storage_gb:
            yield "database: maxStorageGb is below storageGb; raise it"

    def of_role(self, role: Role) -> dict[str, ServiceSection]:
        """The services of a role, by name."""
        return {name: service for name, service in self.services.items() if service.role == role}

    def upstreams(self, lane: str) -> tuple[str, ...]:
        """The STT servers of a lane in order of preference: its own, then those that take fallback.

        A lane at weight 0 is switched off, so it takes none.
        """
        ready = {name: other for name, other in self.lanes.items() if other.takes_fallback and other.weight > 0}
        others = [other.url for name, other in ready.items() if name != lane]
        return (self.lanes[lane].url, *others)


def parse(values: Mapping[str, Any], secrets: Mapping[Secret, str | None]) -> StackConfig:
    """Validate the stack file's sections and secrets, each by name. Raises ConfigError with every fault.

    A secret's text is never quoted.
    """
    faults: list[str] = []
    config = None
    try:
        config = StackConfig.model_validate(dict(values))
    except ValidationError as error:
        faults += _explain(error)
    faults += _secret_faults(secrets)
    if config is None or faults:
        raise ConfigError(
            "the stack's configuration does not fit:\n"
            + "\n".join(f"  {fault}" for fault in faults)
            + "\nCorrect Pulumi.<stack>.yaml and run again."
        )
    return config


def _secret_faults(secrets: Mapping[Secret, str | None]) -> Iterator[str]:
    for secret, (pattern, allowed) in SECRETS.items():
        text = secrets.get(secret)
        if text is None:
            if secret not in OPTIONAL_SECRETS:
                yield f"{secret}: got nothing; allowed: {allowed}; run: pulumi config set --secret {secret}"
        elif not pattern.fullmatch(text):
            yield f"{secret}: got {len(text)} characters that do not fit (not shown); allowed: {allowed}"


def _explain(error: ValidationError) -> Iterator[str]:
    """One line for each fault: where, what was got, what is allowed."""
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"]) or "stack file"
        description = _description(fault["loc"])
        got = "nothing" if fault["type"] == "missing" else repr(fault["input"])
        if fault["type"] == "value_error":
            yield f"{where}: {fault['ctx']['error']!s}"
            continue
        allowed = f"; allowed: {description}" if description else ""
        yield f"{where}: got {got} ({fault['msg']}){allowed}"


def _description(location: tuple[int | str, ...]) -> str | None:
    """The field's own words on what is allowed, found by walking the models along `location`."""
    model: Any = StackConfig
    found: str | None = None
    for part in location:
        fields = getattr(model, "model_fields", None)
        if fields is None:
            model = _inner(model)  # `part` is a mapping's key
            continue
        field = next((each for name, each in fields.items() if part in (name, each.alias)), None)
        if field is None:
            return found
        found, model = field.description, field.annotation
    return found


def _inner(annotation: Any) -> Any:
    """The value type of a mapping, the model of an optional one."""
    arguments = [each for each in getattr(annotation, "__args__", ()) if each is not type(None)]
    return arguments[-1] if arguments else None


SECTIONS: Final = tuple(to_camel(name) for name in StackConfig.model_fields)
