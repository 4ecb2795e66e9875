"""One container of ours, run as locked down as on Fargate: read-only root, no capability, no new privilege."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from onebox.containers import DOCKER, LOCAL_TAG, LOCKED_DOWN, image_of

TAG: Final = os.environ.get("TAG", LOCAL_TAG)
DOCKERFILE: Final = Path(__file__).parents[2] / "services" / "Dockerfile"
_PINNED: Final = DOCKERFILE.read_text().partition("ARG PYTHON_IMAGE=")[2].partition("\n")[0]
BASE: Final = os.environ.get("PYTHON_IMAGE", _PINNED)
SERVICES: Final = ("ws_proxy", "http_proxy", "backend", "frontend", "sqs_updater", "stt_api")
# A service is up within seconds; an engine with other work gets longer.
START_SECONDS: Final = 60.0


def docker(*arguments: str, seconds: float = 60, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run the Docker client."""
    return subprocess.run([DOCKER, *arguments], capture_output=True, text=True, timeout=seconds, check=check)


def inspect(image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", image).stdout)
    return found[0]


def name_of(service: str) -> str:
    """The image of a service."""
    return image_of(service, TAG)


def megabytes_over_base(service: str) -> float:
    """How much an image adds to its base."""
    over: int = inspect(name_of(service))["Size"] - inspect(BASE)["Size"]
    return over / 1e6


class Container:
    """A running container on the host's network."""

    def __init__(self, service: str, port: int, environment: Mapping[str, str], log: Path) -> None:
        self.name = f"aldea-test-{uuid.uuid4().hex[:12]}"
        self.url = f"http://127.0.0.1:{port}"
        self._service = service
        self._environment = {"BIND_HOST": "127.0.0.1", "PORT": str(port), **environment}
        self._log = log
        self.ready_seconds = 0.0

    def start(self) -> None:
        """Start it and return at once."""
        settings = [f"--env={name}={value}" for name, value in self._environment.items()]
        docker(
            "run", "--detach", "--name", self.name, *LOCKED_DOWN, *settings, name_of(self._service),
        )  # fmt: skip

    def wait_ready(self, path: str = "/readyz") -> "Container":
        """Return once the service responds with 200 on `path`; fails with its log."""
        began = time.monotonic()
        until = began + START_SECONDS
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(self.url + path, timeout=2) as response:
                    if response.status == 200:
                        self.ready_seconds = time.monotonic() - began
                        return self
            except (urllib.error.URLError, OSError):
                pass
            assert self.running, f"{self._service} ended:\n{self.logged()}"
            time.sleep(0.1)
        raise AssertionError(f"{self._service} is not ready:\n{self.logged()}")

    @property
    def state(self) -> dict[str, Any]:
        """The engine's word on it."""
        found: list[dict[str, Any]] = json.loads(docker("container", "inspect", self.name).stdout)
        state: dict[str, Any] = found[0]["State"]
        return state

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return bool(self.state["Running"])

    def run(self, *command: str, check: bool = True) -> str:
        """The output of a command inside."""
        return docker("exec", self.name, *command, check=check).stdout

    def stop(self, seconds: int = 20) -> int:
        """SIGTERM, then after `seconds` SIGKILL; the exit status."""
        docker("stop", "--time", str(seconds), self.name, seconds=seconds + 30)
        return int(self.state["ExitCode"])

    def logged(self) -> str:
        """All that it printed."""
        said = docker("logs", self.name, check=False)
        return said.stdout + said.stderr

    def remove(self) -> None:
        """Remove it, whatever state it is in."""
        self._log.write_text(self.logged())
        docker("rm", "--force", "--volumes", self.name, check=False)


class Report:
    """The table at the end: a row an image, a column a thing that was seen of it."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}

    def saw(self, service: str, **facts: object) -> None:
        """Add cells of a row."""
        self._seen.setdefault(service, {}).update({column: str(fact) for column, fact in facts.items()})

    def lines(self, services: tuple[str, ...]) -> list[str]:
        """The table, empty if nothing was seen. What was not looked at is a dash."""
        columns = list(dict.fromkeys(column for row in self._seen.values() for column in row))
        if not columns:
            return []
        rows = [["image", *(column.replace("_", " ") for column in columns)]]
        for service in services:
            row = self._seen.get(service, {})
            rows.append([name_of(service), *(row.get(column, "-") for column in columns)])
        widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
