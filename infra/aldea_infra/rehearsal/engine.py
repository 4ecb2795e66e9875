"""terraform as a process in a folder of its own: its commands, and what it says."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PROVIDER: Final = "registry.terraform.io/hashicorp/aws"
OLDEST: Final = ">= 5.100"
# The longest is an `apply`: the provider itself waits for minutes before it looks at some of what it made.
SECONDS: Final = 900.0


class Missing(Exception):
    """There is no terraform, or no provider for it, or no emulator; the message says which."""


class Refused(Exception):
    """The provider refuses the configuration, or plans what was not expected; the message says what."""


class Terraform:
    """One configuration with its state."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environment = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", **(environment or {})}

    def prepare(self) -> dict[str, Any]:
        """Make the provider ready in this folder; its resource schemas. Raises Missing."""
        if shutil.which("terraform") is None:
            raise Missing("terraform is not on PATH")
        aws = {"source": "hashicorp/aws", "version": os.environ.get("AWS_PROVIDER_VERSION") or OLDEST}
        self.configure({"terraform": {"required_providers": {"aws": aws}}})
        plugins = os.environ.get("TF_PLUGIN_DIR")
        try:
            self._run("init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else []))
        except Refused as error:
            raise Missing(f"terraform finds no AWS provider (set TF_PLUGIN_DIR to its folder): {error}") from None
        schemas = json.loads(self._run("providers", "schema", "-json"))
        found: dict[str, Any] = schemas["provider_schemas"][PROVIDER]["resource_schemas"]
        return found

    def configure(self, document: Mapping[str, Any]) -> None:
        """Write the configuration that the next command is about."""
        (self.folder / "main.tf.json").write_text(json.dumps(document, indent=1))

    def validate(self) -> None:
        """Let the provider check what it can check without a plan. Raises Refused."""
        checked = json.loads(self._run("validate", "-json", fails=False))
        if not checked["valid"]:
            raise Refused("\n".join(f"{each['summary']}: {each.get('detail', '')}" for each in checked["diagnostics"]))

    def plan(self) -> dict[str, Any]:
        """What the provider would do, as `terraform show -json` has it. Raises Refused."""
        self._run("plan", "-refresh=false", "-input=false", "-lock=false", "-no-color", "-out=planned")
        found: dict[str, Any] = json.loads(self._run("show", "-json", "planned"))
        return found

    def apply(self) -> None:
        """Make everything. Raises Refused."""
        self._run("apply", "-auto-approve", "-input=false", "-lock=false", "-no-color", "-parallelism=30")

    def refresh(self) -> None:
        """Read everything that was made, and write nothing. Raises Refused."""
        self._run("plan", "-refresh-only", "-input=false", "-lock=false", "-no-color", "-parallelism=30")

    @contextmanager
    def logged(self) -> Iterator[Path]:
        """Write down what the provider calls meanwhile: the log. It makes every command slower."""
        path = self.folder / "provider.log"
        path.unlink(missing_ok=True)
        settings = {"TF_LOG_PROVIDER": "DEBUG", "TF_LOG_PATH": str(path)}
        self._environment |= settings
        try:
            yield path
        finally:
            for name in settings:
                del self._environment[name]

    def _run(self, *arguments: str, fails: bool = True) -> str:
        """A command's output. Raises Refused if it fails and `fails`, or takes too long."""
        try:
            done = subprocess.run(
                ["terraform", *arguments],
                cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Refused(f"terraform {arguments[0]} took longer than {SECONDS:g} s") from None
        if fails and done.returncode != 0:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout
