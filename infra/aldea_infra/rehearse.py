"""Puts what a stack registers before AWS's real provider: `terraform validate` and `plan`, without an account.

python -m aldea_infra.rehearse STACK

Takes `terraform` on PATH and AWS's provider: from the registry, or from the folder that TF_PLUGIN_DIR names. Without
them it says so and ends well: it is a rehearsal, not a gate. Nothing is applied and nobody is asked who we are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline import mock_run, terraform
from aldea_infra.offline.graph import Graph

SECONDS: Final = 300.0
PROVIDER: Final = "registry.terraform.io/hashicorp/aws"
# What providers before 6 do not have: a note, no fault.
NEWER: Final = frozenset({"aws:ecs/service:Service: the provider has no sigintRollback"})


class Missing(Exception):
    """There is no terraform, or no provider for it; the message says which."""


class Refused(Exception):
    """The provider refuses the configuration; the message is its own."""


def rehearse(stack: str, folder: Path, graph: Graph | None = None) -> str:
    """What the provider plans, in a line or two; `graph` in place of the stack's own. Raises Missing or Refused."""
    region = StackConfig.model_validate(stack_file.read(stack)).stack.region
    schemas = _schemas(folder)
    found = terraform.convert(graph or mock_run.run(stack), schemas)
    if lost := sorted(set(found.unmapped) - NEWER):
        raise Refused("\n".join(lost))
    (folder / "main.tf.json").write_text(json.dumps(found.document(region)))
    checked = json.loads(_run(folder, "validate", "-json", fails=False))
    if not checked["valid"]:
        raise Refused("\n".join(f"{each['summary']}: {each.get('detail', '')}" for each in checked["diagnostics"]))
    said = _run(folder, "plan", "-refresh=false", "-input=false", "-lock=false", "-no-color")
    planned = next((line for line in said.splitlines() if line.startswith("Plan:")), "Plan: nothing")
    notes = sorted(set(found.unmapped) & NEWER)
    return "\n".join([planned, *(f"note: {each} (it is older than 6)" for each in notes)])


def _schemas(folder: Path) -> dict[str, Any]:
    """The provider's resource schemas, after it was made ready in this folder."""
    if shutil.which("terraform") is None:
        raise Missing("terraform is not on PATH")
    required = {"terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}}}
    (folder / "main.tf.json").write_text(json.dumps(required))
    plugins = os.environ.get("TF_PLUGIN_DIR")
    try:
        _run(folder, "init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else []))
    except Refused as error:
        raise Missing(f"terraform finds no AWS provider (set TF_PLUGIN_DIR to its folder): {error}") from None
    schemas: dict[str, Any] = json.loads(_run(folder, "providers", "schema", "-json"))
    found: dict[str, Any] = schemas["provider_schemas"][PROVIDER]["resource_schemas"]
    return found


def _run(folder: Path, *arguments: str, fails: bool = True) -> str:
    """A terraform command's output. Raises Refused if it fails and `fails`, or takes too long."""
    try:
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refused(f"terraform {arguments[0]} took longer than {SECONDS:g} s") from None
    if fails and done.returncode != 0:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Rehearse; the process's exit status: 1 if the provider refuses, 0 also where there is none."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.rehearse", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _say(f"{chosen.stack}: {rehearse(chosen.stack, Path(folder))}")
        except Missing as error:
            _say(f"{chosen.stack}: not rehearsed: {error}")
        except Refused as error:
            _say(f"{chosen.stack}: refused by the provider:\n{error}")
            return 1
        except (OSError, ValueError) as error:
            parser.error(str(error))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
