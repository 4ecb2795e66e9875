"""Images pushed to a real registry by digest: built once, built upon, and never pushed twice."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from aldea_infra.catalogue import Image
from aldea_infra.components.registry import image_tag
from aldea_infra.publish import NotPublished, Publisher
from onebox.containers import DOCKER
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec
from tests.containers.engine import docker

PLATFORM = "linux/amd64"
# Distribution, the registry that others are measured by: from Debian's package, or its own image.
REGISTRY_IMAGE = os.environ.get("REGISTRY_IMAGE", "registry:2")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback, which engines take without TLS: HOST/PREFIX."""
    port = free_port()
    folder = tmp_path_factory.mktemp("registry")
    if program := shutil.which("docker-registry"):
        config = folder / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
        )
        spec = ProcessSpec(name="registry", argv=(program, "serve", str(config)), ready=lambda: port_accepts(port))
        process = Process(spec, folder / "log").start()
        yield f"127.0.0.1:{port}/aldea-test"
        process.stop()
        return
    name = f"aldea-test-registry-{port}"
    address = f"REGISTRY_HTTP_ADDR=127.0.0.1:{port}"
    spec = ProcessSpec(
        name="registry",
        argv=(DOCKER, "run", "--rm", f"--name={name}", "--network=host", f"--env={address}", REGISTRY_IMAGE),
        ready=lambda: port_accepts(port),
    )
    process = Process(spec, folder / "log").start(timeout=120)
    yield f"127.0.0.1:{port}/aldea-test"
    process.stop()
    docker("rm", "--force", name, check=False)


def tags(registry: str, image: Image) -> list[str]:
    host, _, prefix = registry.partition("/")
    with urllib.request.urlopen(f"http://{host}/v2/{prefix}-{image}/tags/list", timeout=10) as response:
        found: list[str] = json.load(response)["tags"]
        return found


def test_an_image_is_built_and_pushed_once_under_the_hash_of_its_inputs(
    registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = Publisher(registry, PLATFORM, docker=DOCKER)
    first = publisher.publish(Image.FRONTEND)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first)
    assert tags(registry, Image.FRONTEND) == [image_tag(Image.FRONTEND, PLATFORM)]
    # Another machine, with nothing of it in its engine.
    reference = f"{registry}-{Image.FRONTEND}:{image_tag(Image.FRONTEND, PLATFORM)}"
    docker("rmi", "--force", reference)
    assert publisher.publish(Image.FRONTEND) == first
    assert "already there" in capsys.readouterr().err.splitlines()[-1]
    # What the digest names is the image, whole.
    ran = docker("run", "--rm", "--network=none", f"{registry}-{Image.FRONTEND}@{first}", "ls", "services").stdout
    assert sorted(ran.split()) == ["aldea", "frontend"]


def test_an_image_carries_its_builds_cache_for_the_next_one(registry: str) -> None:
    digest = Publisher(registry, PLATFORM, docker=DOCKER).publish(Image.FRONTEND)
    config = docker("image", "inspect", "--format", "{{json .}}", f"{registry}-{Image.FRONTEND}@{digest}")
    assert json.loads(config.stdout)["Config"]["Env"]
    cached = Publisher(registry, PLATFORM, {Image.FRONTEND: digest}, DOCKER)
    # The engine takes the image as a source of layers: a build with it works and gives the same files.
    cached._build(Image.FRONTEND)


def test_a_registry_that_does_not_respond_is_a_failure_and_no_reason_to_build() -> None:
    nowhere = Publisher(f"127.0.0.1:{free_port()}/aldea-test", PLATFORM, docker=DOCKER)
    with pytest.raises(NotPublished, match="pull"):
        nowhere.publish(Image.FRONTEND)


def test_the_command_writes_every_images_digest_as_the_deployment_reads_it(registry: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "images.json"
    said = subprocess.run(
        [sys.executable, "-m", "aldea_infra.publish", "dev", "--out", str(out), "--registry", registry],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    digests = json.loads(out.read_text())
    assert set(digests) == set(Image)
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in digests.values())
