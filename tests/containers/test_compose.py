"""compose.yaml as it is written: the six images beside real stores, a stream and an upload that are billed."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from onebox.containers import DOCKER, LOCAL_TAG
from onebox.home import ROOT
from onebox.ports import free_port
from tests.containers.engine import TAG, docker

STORES = ("postgres", "redis", "sqs")
# Images of stores may come from afar, and a loaded machine starts a dozen containers.
FETCH_SECONDS = 900
START_SECONDS = 300
CANARY_SECONDS = 180


class Compose:
    """The project of one test, on a port of its own, so that one which runs here already is left alone."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __call__(self, *arguments: str, seconds: float = 60, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose` on the project."""
        return subprocess.run(
            [DOCKER, "compose", "--project-name", f"aldea-test-{self.port}", *arguments],
            cwd=ROOT, env={**os.environ, "ONEBOX_PORT": str(self.port)}, capture_output=True, text=True,
            timeout=seconds, check=check,
        )  # fmt: skip

    def containers(self) -> list[dict[str, Any]]:
        """What the engine knows of those that run."""
        running = self("ps", "--quiet").stdout.split()
        found: list[dict[str, Any]] = json.loads(docker("container", "inspect", *running).stdout) if running else []
        return found

    def healthy(self) -> bool:
        """Whether everything that has a health check passes it; what has none runs, or has done its work."""
        health = [one["State"]["Health"]["Status"] for one in self.containers() if one["State"].get("Health")]
        return bool(health) and set(health) == {"healthy"}


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    """The platform, up, and after the tests whole away again."""
    if subprocess.run([DOCKER, "compose", "version"], capture_output=True, check=False, timeout=60).returncode != 0:
        pytest.skip("this Docker client has no compose")
    if TAG != LOCAL_TAG:
        pytest.skip(f"compose.yaml names the images' tag {LOCAL_TAG}, and these have {TAG}")
    project = Compose()
    fetched = project("pull", "--quiet", "--policy", "missing", *STORES, seconds=FETCH_SECONDS, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"the stores' images are not here and cannot be fetched: {fetched.stderr.strip()[-300:]}")
    try:
        up = project("up", "--detach", "--no-build", seconds=START_SECONDS, check=False)
        assert up.returncode == 0, up.stderr
        deadline = time.monotonic() + START_SECONDS
        while not project.healthy():
            assert time.monotonic() < deadline, project("logs", "--tail", "20", check=False).stdout
            time.sleep(0.5)
        yield project
    finally:
        project("down", "--volumes", "--timeout", "40", seconds=120, check=False)
    assert project("ps", "--all", "--quiet").stdout == ""


def test_a_stream_and_an_upload_with_the_demo_accounts_key_are_billed(compose: Compose) -> None:
    [key] = set(re.findall(r"\borg_\w+", compose("logs", "--no-log-prefix", "account").stdout))
    said = subprocess.run(
        [sys.executable, "-m", "aldea.canary", "--url", compose.url, "--json"],
        env={**os.environ, "CANARY_KEY": key}, cwd=ROOT, capture_output=True, text=True, timeout=CANARY_SECONDS,
        check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    steps = [(step["name"], step["ok"]) for step in json.loads(said.stdout)["steps"]]
    assert steps == [("stream", True), ("upload", True), ("usage", True)]


def test_nothing_but_the_load_balancer_can_be_reached_and_nothing_was_restarted(compose: Compose) -> None:
    found = compose.containers()
    bound = [one["Name"] for one in found if any((one["HostConfig"]["PortBindings"] or {}).values())]
    assert len(bound) == 1
    assert "balancer" in bound[0]
    assert {one["Name"]: one["RestartCount"] for one in found} == {one["Name"]: 0 for one in found}
