import sys
from pathlib import Path

import pytest

from onebox import containers
from onebox.process import ProcessSpec


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client that writes down its calls and prints what the file beside it holds."""
    program = tmp_path / "engine"
    program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n[ -e {tmp_path}/said ] && cat {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setattr(containers, "DOCKER", str(program))
    return tmp_path


def test_a_process_becomes_a_locked_down_container_of_its_services_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    monkeypatch.setenv("ALLOW_LOOPBACK_URLS", "true")
    spec = ProcessSpec(
        name="ws_proxy",
        argv=(sys.executable, "-m", "ws_proxy"),
        env={"PYTHONPATH": "services", "REDIS_URL": "redis://secret@host"},
    )
    found = containers.in_container(spec, "ws_proxy", "local", "box-ws-proxy")
    assert found.name == spec.name
    for option in ("--rm", "--name=box-ws-proxy", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"):
        assert option in found.argv
    assert found.argv[-1] == "aldea/ws-proxy:local"
    # Names on the command line, values in the environment; the image's own path stays.
    assert "--env=REDIS_URL" in found.argv
    assert not [part for part in found.argv if "secret" in part]
    assert found.env == {"REDIS_URL": "redis://secret@host", "ALLOW_LOOPBACK_URLS": "true"}


def test_another_command_of_an_image_stands_behind_it() -> None:
    spec = ProcessSpec(name="migrations", argv=("python",))
    found = containers.in_container(spec, "backend", "v1", "box-migrations", ("python", "-m", "backend", "migrate"))
    assert found.argv[-5:] == ("aldea/backend:v1", "python", "-m", "backend", "migrate")


def test_images_that_are_not_there_are_named_with_what_builds_them(engine: Path) -> None:
    (engine / "said").write_text("aldea/backend:local\npython:3.13-slim\n")
    why = containers.missing(["backend", "ws_proxy"], "local")
    assert why == "These images are not there: aldea/ws-proxy:local. Build them: make images"
    assert containers.missing(["backend"], "local") is None


def test_without_an_engine_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "DOCKER", str(tmp_path / "none"))
    assert "No container engine responds" in (containers.missing(["backend"], "local") or "")


def test_a_container_is_removed_by_its_name(engine: Path) -> None:
    containers.remove("box-backend")
    assert (engine / "calls").read_text() == "rm --force --volumes box-backend\n"
