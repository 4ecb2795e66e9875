"""A place like the repository's root for its scripts, and a `pulumi` that writes down its calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# It prints the files beside it; a file named fail-COMMAND makes that command fail.
PULUMI = """#!/bin/sh
here=$(dirname "$0")
echo "pulumi $*" >>"$here/calls"
name=$(echo "$1-$2" | sed 's/--.*//')
[ -e "$here/fail-$1" ] && { echo "error: $1 failed" >&2; exit 255; }
[ -e "$here/$name" ] && cat "$here/$name"
exit 0
"""
# The Python of the place: its calls to AWS are written down, all else is this Python.
PYTHON = """#!/bin/sh
here={bin}
case "$*" in
*aldea_infra.release*|*aldea.canary*) echo "python $*" >>"$here/calls"
    [ -n "${{CANARY_KEY:-}}" ] && echo "key $CANARY_KEY" >>"$here/calls"
    [ -e "$here/fail-python" ] && exit 1
    [ -e "$here/running.json" ] && cat "$here/running.json"
    exit 0 ;;
esac
exec {python} "$@"
"""


class Place:
    """A copy of scripts/ and the stack files, run with the stand-ins on PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.deploy = root / ".deploy"
        shutil.copytree(ROOT / "scripts", root / "scripts")
        for folder in (self.bin, self.deploy, root / ".venv" / "bin"):
            folder.mkdir(parents=True)
        self._program(self.bin / "pulumi", PULUMI)
        self._program(root / ".venv" / "bin" / "python", PYTHON.format(bin=self.bin, python=sys.executable))

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """A script's outcome."""
        paths = {"PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}/services:{ROOT}/infra:{ROOT}"}
        inherited = {name: value for name, value in os.environ.items() if name not in {"STACK", "URL", "CANARY_KEY"}}
        return subprocess.run(
            [self.root / "scripts" / command[0], *command[1:]],
            env={**inherited, **paths, **environment},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    def prints(self, command: str, text: str) -> None:
        """What `pulumi COMMAND` prints (`config-get`, `stack-output`), or `running.json` what ECS has."""
        (self.bin / command).write_text(text)

    def fail(self, command: str) -> None:
        """Let a pulumi command, or `python`, fail."""
        (self.bin / f"fail-{command}").touch()

    @property
    def calls(self) -> list[str]:
        """The calls of the stand-ins, in order."""
        path = self.bin / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
