"""`python -m SERVICE --help`: every setting of a service with its default and what is allowed, for a terminal."""

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, Final

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from aldea.settings import ServiceSettings, is_secret

# Lines that are longer are hard to read; a narrow terminal has fewer.
_COLUMNS: Final = 100
_LEAST_COLUMNS: Final = 30
_INDENT: Final = "      "


def take_no_arguments(service: str, settings: type[ServiceSettings], arguments: Sequence[str]) -> None:
    """Print the help and exit where it is requested, or refuse any other argument: settings are variables."""
    argparse.ArgumentParser(
        prog=f"python -m {service}",
        description=settings_help(settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(list(arguments))


def settings_help(settings: type[ServiceSettings]) -> str:
    """The settings of a service: required ones first, each as its variable, its default and its description."""
    fields = sorted(settings.model_fields.items(), key=lambda item: not item[1].is_required())
    columns = max(_LEAST_COLUMNS, min(_COLUMNS, shutil.get_terminal_size().columns))
    lines = ["Settings are read from the environment:", ""]
    for name, field in fields:
        lines.append(f"  {name.upper()}  ({_default(field)})")
        lines += textwrap.wrap(
            field.description or "", columns, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False
        )
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value in {"", ()}:
        return "unset"
    if is_secret(field.annotation) or isinstance(value, SecretStr | SecretBytes):
        return "default: secret"
    if isinstance(value, bool):
        return f"default: {str(value).lower()}"
    return f"default: {value:g}" if isinstance(value, float) else f"default: {value}"
