"""A stack's configuration: read once from `Pulumi.<stack>.yaml` into frozen, validated values.

All faults are reported in one message: what was got, what is allowed, what to do. Nothing else in the program knows
which stack it runs for. `sections` says what each value means.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from aldea_infra.catalogue import Image, Role
from aldea_infra.config import mail
from aldea_infra.config.sections import (
    AlarmsSection,
    BalancerSection,
    CanarySection,
    ConsoleSection,
    DatabaseSection,
    Digest,
    EdgeSection,
    GithubSection,
    HostsSection,
    LaneSection,
    MailSection,
    NetworkSection,
    QueueSection,
    RedisSection,
    Section,
    ServiceSection,
    StackSection,
    TracesSection,
    UploadsSection,
)


class Secret(StrEnum):
    """A secret of the stack's configuration, encrypted there by its secrets provider."""

    REDIS_AUTH_TOKEN = "redisAuthToken"  # noqa: S105 - a name, not a token
    REDIS_AUTH_TOKEN_BEFORE = "redisAuthTokenBefore"  # noqa: S105 - a name, not a token
    STT_UPSTREAM_TOKEN = "sttUpstreamToken"  # noqa: S105 - a name, not a token
    CANARY_KEY = "canaryKey"
    MAIL_URL = "mailUrl"


# Which texts are allowed, and how an error describes it.
SECRETS: Final[dict[Secret, tuple[re.Pattern[str], str]]] = {
    Secret.REDIS_AUTH_TOKEN: (
        re.compile(r"[A-Za-z0-9-]{16,128}"),
        "16 to 128 letters, digits and hyphens",
    ),
    Secret.REDIS_AUTH_TOKEN_BEFORE: (
        re.compile(r"[A-Za-z0-9-]{16,128}"),
        "the redisAuthToken that was set before, while it is being rotated",
    ),
    Secret.STT_UPSTREAM_TOKEN: (
        re.compile(r"[!-~]{8,512}"),
        "the token that the STT servers take, 8 to 512 characters",
    ),
    Secret.CANARY_KEY: (re.compile(r"org_[!-~]{8,512}"), "an API key, org_…, made after the first deployment"),
    Secret.MAIL_URL: (mail.URL, mail.ALLOWED),
}
# Without its key, which can be made only on a platform that runs, the canary waits. A token before is there only while
# one is rotated. Without mailUrl no mail is sent.
OPTIONAL_SECRETS: Final = frozenset({Secret.CANARY_KEY, Secret.REDIS_AUTH_TOKEN_BEFORE, Secret.MAIL_URL})

# Logical names get 8 characters of randomness behind them; an ALB's or target group's name has 32.
ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,22}[a-z0-9]$")]


class ConfigError(Exception):
    """The stack's configuration is unusable; the text lists every fault."""


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
    mail: MailSection = Field(default_factory=MailSection)
    console: ConsoleSection = Field(default_factory=ConsoleSection)
    uploads: UploadsSection = Field(default_factory=UploadsSection)
    traces: TracesSection = Field(default_factory=lambda: TracesSection(share=0.1))
    github: GithubSection
    images: Mapping[Image, Digest] = Field(
        default_factory=dict, description="by image, sha256: and 64 hexadecimal digits"
    )
    build: bool = Field(
        default=False, description="true to build the images that `images` does not name, as the first deployment does"
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
        # Where the field says in words what is allowed, its pattern says nothing more.
        plain = allowed and fault["type"] == "string_pattern_mismatch"
        yield f"{where}: got {got} ({'it does not fit' if plain else fault['msg']}){allowed}"


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
