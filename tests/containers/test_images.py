"""Every image: whose it is, what it holds and what it does not, how it starts, responds, and ends."""

import time

import pytest

from tests.containers.conftest import Starter
from tests.containers.engine import BASE, SERVICES, Container, Report, docker, inspect, megabytes_over_base, name_of

# The budget of the issue for the proxy that there are most of; the others are listed, not bounded.
WS_PROXY_MAX_MEGABYTES = 120
# Whatever compiles or fetches has no business in a running container.
UNWANTED = ("gcc", "cc", "g++", "ld", "make", "git", "curl", "wget")

# Addresses at which nobody listens: the service must start all the same, alive but not ready.
NOWHERE = "127.0.0.1:1"
ENVIRONMENT = {
    "ws_proxy": {"REDIS_URL": f"redis://{NOWHERE}", "STT_UPSTREAMS": f"http://{NOWHERE}", "LANE": "test"},
    "http_proxy": {"REDIS_URL": f"redis://{NOWHERE}", "STT_UPSTREAMS": f"http://{NOWHERE}", "LANE": "test"},
    "stt_api": {"STT_API_TOKEN": "stt-token-of-the-container-test"},
    "frontend": {"PLATFORM_API_URL": f"http://{NOWHERE}", "PUBLIC_API_URL": f"http://{NOWHERE}"},
}
STANDALONE = tuple(ENVIRONMENT)


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=STANDALONE)
def standalone(request: pytest.FixtureRequest) -> str:
    """A service that starts without its dependencies."""
    found: str = request.param
    return found


@pytest.fixture
def alive(standalone: str, start: Starter) -> Container:
    """A service's container that is alive, whatever it is ready for."""
    return start(standalone, **ENVIRONMENT[standalone]).wait_ready("/healthz")


def test_the_sizes_are_listed_and_ws_proxy_keeps_its_budget(report: Report) -> None:
    sizes = {service: megabytes_over_base(service) for service in SERVICES}
    for service, size in sizes.items():
        report.saw(service, MB_over_base=f"{size:.0f}")
    assert sizes["ws_proxy"] <= WS_PROXY_MAX_MEGABYTES


def test_the_images_share_their_system_and_a_commit_changes_no_layer_below_a_services_own() -> None:
    layers = [inspect(name_of(service))["RootFS"]["Layers"] for service in SERVICES]
    shared = [these for these in zip(*layers, strict=False) if len(set(these)) == 1]
    assert len(shared) > len(inspect(BASE)["RootFS"]["Layers"])


def test_an_image_says_what_it_is_and_runs_as_nobody_in_particular(service: str) -> None:
    image = inspect(name_of(service))
    config = image["Config"]
    assert config["User"] == "10001"
    assert config["Labels"]["org.opencontainers.image.title"] == f"aldea {service}"
    assert config["Labels"]["org.opencontainers.image.revision"] not in {"", "unknown"}
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "aldea.healthcheck"]
    assert not config["Entrypoint"]  # the engine's init comes before
    assert list(config["Volumes"]) == ["/tmp"]


def test_an_image_holds_its_service_and_no_other_and_nothing_that_compiles(service: str) -> None:
    script = "ls services; for tool in " + " ".join(UNWANTED) + "; do command -v $tool; done; true"
    said = docker("run", "--rm", "--network=none", name_of(service), "sh", "-c", script).stdout.split()
    assert sorted(said) == sorted({"aldea", service})


def test_nothing_in_an_image_can_be_written_by_its_user(service: str, report: Report) -> None:
    script = "id -u; find /app /etc/aldea -writable -not -type l | head"
    user, *writable = docker("run", "--rm", "--network=none", name_of(service), "sh", "-c", script).stdout.split()
    report.saw(service, user=user, writable_files=len(writable))
    assert user == "10001"
    assert writable == []


def test_a_missing_setting_ends_the_container_with_one_clear_line(service: str) -> None:
    said = docker("run", "--rm", "--network=none", "--env=PORT=nonsense", name_of(service), check=False)
    assert said.returncode == 2
    assert len(said.stderr.strip().splitlines()) == 1
    assert "PORT" in said.stderr


def test_a_container_is_alive_without_its_dependencies_on_a_read_only_root(
    alive: Container, standalone: str, report: Report
) -> None:
    report.saw(standalone, healthy_alone_after=f"{alive.ready_seconds:.1f} s")
    said = alive.run("sh", "-c", "touch /app/x 2>&1; true").strip()
    report.saw(standalone, write_to_root=said.rpartition(": ")[2])
    assert said.endswith("Read-only file system")
    # As on Fargate: no tmpfs, but the image's own volume, writable by its user.
    assert alive.run("sh", "-c", "touch /tmp/x && stat -c %a /tmp").strip() == "1777"
    assert alive.run("python", "-m", "aldea.healthcheck") == ""


def test_sigterm_ends_a_container_by_itself_and_with_status_0(
    alive: Container, standalone: str, report: Report
) -> None:
    began = time.monotonic()
    # The engine kills what is left after this; a killed container ends with 137.
    status = alive.stop(seconds=40)
    report.saw(standalone, SIGTERM=f"status {status} after {time.monotonic() - began:.1f} s")
    assert status == 0, alive.logged()
    assert "Traceback" not in alive.logged()
