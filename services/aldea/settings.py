"""Settings: frozen, typed, read once from the environment; a bad value stops the start with one clear line."""

import sys
from typing import Annotated, Any, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from aldea.log import redact_text

S = TypeVar("S", bound="ServiceSettings")

Port = Annotated[int, Field(ge=0, le=65535)]


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
    drain_seconds: float = Field(30.0, ge=0, le=7200, description="seconds between SIGTERM and the forced end")


def read(settings: type[S], **overrides: Any) -> S:
    """Read `settings` from the environment.

    Raises pydantic's ValidationError; `read_or_exit` is what a `__main__` calls.
    """
    return settings(**overrides)


def read_or_exit(service: str, settings: type[S]) -> S:
    """Read `settings`, or end the process with status 2 and one line: what was got, what is allowed, what to do."""
    try:
        return read(settings)
    except ValidationError as error:
        print(f"{service}: {explain(settings, error)}", file=sys.stderr)  # noqa: T201 - the log is not set up yet
        raise SystemExit(2) from None


def explain(settings: type[ServiceSettings], error: ValidationError) -> str:
    """One line for all faults of a settings error. A secret's value is never shown."""
    faults = []
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else ""
        field = settings.model_fields.get(name)
        allowed = (field.description if field else None) or fault["msg"]
        if fault["type"] == "missing":
            got = "nothing"
        elif field is not None and is_secret(field.annotation):
            got = "a value that does not fit (not shown)"
        else:
            got = redact_text(repr(fault["input"]))
        reason = f" ({fault['msg']})" if fault["type"] != "missing" else ""
        faults.append(f"{name.upper() or 'settings'}: got {got}{reason}; allowed: {allowed}")
    return "bad settings: " + " | ".join(faults) + ". Set the environment variable and start again."


def is_secret(annotation: Any) -> bool:
    """Whether a field's annotation is or contains a SecretStr."""
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())
