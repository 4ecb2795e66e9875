"""Settings: frozen, typed, read once from the environment; a bad value stops the start with one clear line."""

import re
import sys
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import Field, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from aldea.redaction import redact_text

S = TypeVar("S", bound="ServiceSettings")

Port = Annotated[int, Field(ge=0, le=65535)]

# As much of a bad value as a person needs to recognise it.
SHOWN_CHARACTERS: Final = 80


class ServiceSettings(BaseSettings):
    """What every service reads.

    A field's name in capitals is its environment variable; its description says what
    is allowed, and is what a person is shown when the value does not fit.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    bind_host: str = Field("127.0.0.1", description="the address to listen on, 0.0.0.0 in a container")
    port: Port = Field(description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    metrics_port: Port | None = Field(None, description="an internal TCP port for /metrics; unset: none")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR")
    emf_metrics: bool = Field(default=False, description="true to write CloudWatch EMF metric lines to the log")
    environment: str = Field("local", description="the deployment's name, as it appears in logs and metrics")
    service_name: str | None = Field(
        None,
        description="the metrics' ServiceName, one per ECS service (two lanes share one image); unset: the program's",
    )
    # OpenTelemetry's own; the SDK reads them and its other variables itself.
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]\S*$",
        description="where spans go by OTLP over HTTP, as http://collector:4318; unset: none are recorded",
    )
    otel_traces_sampler: str | None = Field(
        None,
        pattern="^(parentbased_)?(always_on|always_off|traceidratio)$",
        description="which traces are recorded: always_on, always_off, traceidratio, each also with parentbased_ "
        "before it; unset: parentbased_always_on",
    )
    otel_traces_sampler_arg: float | None = Field(
        None, ge=0, le=1, description="the share of the traces that traceidratio records, 0 to 1; unset: 1"
    )
    first_request_seconds: float = Field(
        30.0,
        gt=0,
        le=400,
        description="a connection's first request head, and each later one begun, is whole within it",
    )
    drain_seconds: float = Field(30.0, ge=0, le=7200, description="seconds between SIGTERM and the forced end")


def read(settings: type[S], **overrides: Any) -> S:
    """Read `settings` from the environment.

    Raises pydantic's ValidationError or pydantic-settings' SettingsError; `read_or_exit` is what a `__main__` calls.
    """
    return settings(**overrides)


def read_or_exit(service: str, settings: type[S]) -> S:
    """Read `settings`, or end the process with status 2 and one line: what was got, what is allowed, what to do."""
    try:
        return read(settings)
    except (ValidationError, SettingsError) as error:
        print(f"{service}: {explain(settings, error)}", file=sys.stderr)  # noqa: T201 - the log is not set up yet
        raise SystemExit(2) from None


def explain(settings: type[ServiceSettings], error: ValidationError | SettingsError) -> str:
    """One line for all faults of a settings error. A secret's value is never shown."""
    if isinstance(error, ValidationError):
        faults = [_explain_fault(settings, fault) for fault in error.errors(include_url=False)]
    else:
        # A list or mapping that is not JSON: pydantic-settings names the field and nothing else.
        name = found[1] if (found := re.search(r'field "([^"]+)"', str(error))) else ""
        allowed = _description(settings, name) or "JSON"
        faults = [f"{_variable(name)}: got text that is not JSON (not shown); allowed: {allowed}"]
    return "bad settings: " + " | ".join(faults) + ". Set the environment variable and start again."


def _explain_fault(settings: type[ServiceSettings], fault: ErrorDetails) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else ""
    field = _field(settings, name)
    allowed = _description(settings, name) or _message(fault)
    if fault["type"] == "missing":
        return f"{_variable(name)}: got nothing; allowed: {allowed}"
    # A fault of the whole (a check across fields) carries all values, secrets among them; a message about a secret
    # may quote it. Neither is shown.
    if field is None:
        return _message(fault) if not name else f"{_variable(name)}: got a value that does not fit (not shown)"
    if is_secret(field.annotation):
        return f"{_variable(name)}: got a value that does not fit (not shown); allowed: {allowed}"
    got = redact_text(repr(fault["input"]))
    if len(got) > SHOWN_CHARACTERS:
        got = got[:SHOWN_CHARACTERS] + "…"
    return f"{_variable(name)}: got {got} ({redact_text(_message(fault))}); allowed: {allowed}"


def _field(settings: type[ServiceSettings], name: str) -> FieldInfo | None:
    return settings.model_fields.get(name)


def _description(settings: type[ServiceSettings], name: str) -> str | None:
    field = _field(settings, name)
    return field.description if field is not None else None


def _variable(name: str) -> str:
    return name.upper() or "settings"


def _message(fault: ErrorDetails) -> str:
    """The fault in one line, without what pydantic writes in front of a check's own sentence."""
    return " ".join(fault["msg"].removeprefix("Value error, ").split())


def is_secret(annotation: Any) -> bool:
    """Whether a field's annotation is or contains, at any depth, a SecretStr or SecretBytes."""
    return annotation in {SecretStr, SecretBytes} or any(is_secret(part) for part in get_args(annotation))
