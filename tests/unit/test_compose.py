"""compose.yaml against the settings of the services, the routing table and the files that it names."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from aldea.settings import read
from aldea_infra.routing import Target
from onebox import stores
from onebox.balancer import BalancerSettings
from onebox.containers import DOCKER, image_of
from tests.settings_document import SERVICES

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS: dict[str, Any] = COMPOSE["services"]
# What is no setting of ours: the client library's own, Python's, and what a shell of one command reads.
OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "DEMO_PASSWORD"}
# The images' own: services/Dockerfile.
OF_THE_IMAGE = {"PORT": "8080", "BIND_HOST": "0.0.0.0"}


def environment(name: str) -> dict[str, str]:
    """A container's variables, with the values that stand where the shell gives none."""
    given = CONTAINERS[name].get("environment", {})
    assert all(isinstance(value, str) for value in given.values()), "a number would be written as YAML pleases"
    return {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in given.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_runs_from_its_image_with_settings_that_it_takes(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = CONTAINERS[service.replace("_", "-")]
    assert container["image"] == image_of(service)
    given = environment(service.replace("_", "-"))
    assert {name.lower() for name in given.keys() - OTHERS} <= set(SERVICES[service].model_fields)
    for name, value in {**OF_THE_IMAGE, **given}.items():
        monkeypatch.setenv(name, value)
    assert read(SERVICES[service])
    assert container["read_only"]
    assert container["cap_drop"] == ["ALL"]


def test_the_stores_are_real_ones_of_the_versions_that_production_has() -> None:
    assert CONTAINERS["postgres"]["image"] == "postgres:18"
    assert CONTAINERS["redis"]["image"] == "redis:7"
    assert "noeviction" in CONTAINERS["redis"]["command"]


def test_the_load_balancer_knows_every_target_and_alone_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment("balancer")
    for name, value in {**OF_THE_IMAGE, **given}.items():
        monkeypatch.setenv(name, value)
    targets = read(BalancerSettings).targets
    assert targets == json.loads(given["TARGETS"]) == {str(one): f"http://{one}:8080" for one in Target}
    assert [name for name, one in CONTAINERS.items() if "ports" in one] == ["balancer"]
    assert all(port.startswith("127.0.0.1:") for port in CONTAINERS["balancer"]["ports"])


def test_the_queues_are_those_that_the_services_use() -> None:
    made = COMPOSE["configs"]["queues"]["content"]
    for variable, queue in (("USAGE_QUEUE_URL", stores.USAGE_QUEUE), ("USAGE_DLQ_URL", stores.USAGE_DLQ)):
        assert environment("backend")[variable] == f"http://sqs:9324/{stores.SQS_ACCOUNT}/{queue}"
        assert f"{queue} {{" in made
    assert f"maxReceiveCount = {stores.MAX_RECEIVE_COUNT}" in made


def test_what_it_names_is_there() -> None:
    for name, one in CONTAINERS.items():
        assert set(one.get("depends_on", ())) <= set(CONTAINERS), name
        for volume in one.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir(), f"{name}: {source}"
        for host in re.findall(r"(?:://|@)([a-z-]+):\d+", json.dumps(one.get("environment", {}))):
            assert host in CONTAINERS or host == "localhost", f"{name}: {host}"


def client_of_compose() -> list[str] | None:
    """`docker compose`, or the plugin as a program of its own; it needs no engine to read a file."""
    for command in ([DOCKER, "compose"], ["docker-compose"]):
        try:
            if subprocess.run([*command, "version"], capture_output=True, check=False, timeout=60).returncode == 0:
                return command
        except OSError:
            continue
    return None


def test_compose_takes_it_where_it_is_installed() -> None:
    command = client_of_compose()
    if command is None:
        pytest.skip("neither docker compose nor docker-compose is installed")
    done = subprocess.run(
        [*command, "config", "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == CONTAINERS.keys()
