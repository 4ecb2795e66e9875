"""Images that were really built, run as in production. `make test-images` builds them first and requests this."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onebox.containers import DOCKER
from onebox.ports import free_port
from tests.containers.engine import SERVICES, Container, Report

REPORT = pytest.StashKey[Report]()

# Not part of `make test`: it needs a Docker engine and the images.
collect_ignore_glob = [] if os.environ.get("TEST_IMAGES") else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """A Docker engine must respond: whoever requested these tests wants them run, not skipped."""
    said = subprocess.run([DOCKER, "info"], capture_output=True, text=True, timeout=30, check=False)
    if said.returncode != 0:
        pytest.exit(f"No Docker engine responds: {said.stderr.strip()}. Start one, or name it by DOCKER_HOST.", 1)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was seen of each image, below the tests' own lines."""
    if lines := config.stash[REPORT].lines(SERVICES):
        terminalreporter.section("images, as seen running")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Where a test writes down what it saw, for the table at the end."""
    return request.config.stash[REPORT]


@pytest.fixture
def start(tmp_path: Path) -> Iterator["Starter"]:
    """Starts containers; they are removed after the test."""
    starter = Starter(tmp_path)
    yield starter
    for container in starter.containers:
        container.remove()


class Starter:
    """Starts containers on free ports and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.containers: list[Container] = []
        self._folder = folder

    def __call__(self, image: str, **environment: str) -> Container:
        container = Container(image, free_port(), environment, self._folder / f"{len(self.containers)}.log")
        self.containers.append(container)
        container.start()
        return container
