"""`python -m tests.settings_document`: write docs/settings.md from the settings classes, which a test holds it to."""

from pathlib import Path
from typing import Any, Final

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from aldea.settings import ServiceSettings, is_secret
from backend.settings import BackendSettings
from frontend.settings import FrontendSettings
from http_proxy.settings import HttpProxySettings
from sqs_updater.settings import Settings as SqsUpdaterSettings
from stt_api.settings import SttSettings
from ws_proxy.settings import Settings as WsProxySettings

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

SERVICES: Final[dict[str, type[ServiceSettings]]] = {
    "ws_proxy": WsProxySettings,
    "http_proxy": HttpProxySettings,
    "backend": BackendSettings,
    "sqs_updater": SqsUpdaterSettings,
    "frontend": FrontendSettings,
    "stt_api": SttSettings,
}

INTRODUCTION: Final = """\
# Settings

Every service reads its settings from the environment once, when it starts. A missing or bad value stops it with one
line that says what was read and what is allowed. A setting that several services read has the same name and meaning in
all of them. The onebox reads a few as well: `DATABASE_URL`, `REDIS_URL`, `SQS_ENDPOINT_URL` and `STT_UPSTREAMS` replace
its embedded parts, and `ONEBOX_PORT` chooses the port of its load balancer.

`make settings` writes this page from the code.
"""


def document() -> str:
    """The page: a table of what every service reads, then one of its own for each service."""
    shared = set(ServiceSettings.model_fields)
    parts = [INTRODUCTION, "## Every service\n", _table(ServiceSettings, shared)]
    for name, settings in SERVICES.items():
        own = {field for field in settings.model_fields if field not in shared or _differs(settings, field)}
        parts += [f"## {name}\n", _table(settings, own)]
    return "\n".join(parts)


def _differs(settings: type[ServiceSettings], field: str) -> bool:
    ours, theirs = settings.model_fields[field], ServiceSettings.model_fields[field]
    return (ours.default, ours.description) != (theirs.default, theirs.description)


def _table(settings: type[ServiceSettings], names: set[str]) -> str:
    rows = [f"| `{name.upper()}` | {_default(field)} | {_cell(field.description or '')} |" for name, field in
            settings.model_fields.items() if name in names]  # fmt: skip
    return "\n".join(["| variable | default | what it is |", "|---|---|---|", *rows, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "none" if (value := field.get_default(call_default_factory=True)) is None else _value(field, value)


def _value(field: FieldInfo, value: Any) -> str:
    if is_secret(field.annotation) or isinstance(value, SecretStr | SecretBytes):
        return "secret"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value not in {"", ()} else "empty"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
