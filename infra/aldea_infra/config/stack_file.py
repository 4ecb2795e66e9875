"""The repository's stack files, as they are written. No pulumi."""

from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[3]
PROJECT: Final = "aldea-asr-platform"


def read(name: str) -> dict[str, Any]:
    """The `config` of `Pulumi.<name>.yaml` by section, without the secrets that are stored there encrypted.

    Raises FileNotFoundError: which stacks there are.
    """
    path = ROOT / f"Pulumi.{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(each.name.split(".")[1] for each in ROOT.glob("Pulumi.*.yaml")))
        raise FileNotFoundError(f"got stack {name!r}; allowed: {known}; a new one needs its Pulumi.{name}.yaml")
    values = yaml.safe_load(path.read_text())["config"]
    return {
        key.partition(":")[2]: value
        for key, value in values.items()
        if key.startswith(f"{PROJECT}:") and not _is_encrypted(value)
    }


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}
