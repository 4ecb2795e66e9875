"""What is pushed, and what is not. The engine here writes down its calls; tests/containers has a real one."""

import base64
from pathlib import Path

import botocore.session
import pytest

from aldea_infra import publish
from aldea_infra.catalogue import Image
from aldea_infra.components.registry import image_tag
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.publish import NotPublished, Publisher, registry_of, sign_in

DIGEST, RUNNING = f"sha256:{'d' * 64}", f"sha256:{'e' * 64}"
REGISTRY = "127.0.0.1:5000/aldea-ecs-dev"
REFERENCE = f"{REGISTRY}-backend:{image_tag(Image.BACKEND, 'linux/amd64')}"
# Ends a `pull` with status $1, prints a digest for `image inspect`, and succeeds for all else.
ENGINE = """#!/bin/sh
echo "$*" >>{folder}/calls
case $1 in
pull) echo "{said}" >&2; exit {status} ;;
login) cat >>{folder}/given ;;
image) case "$*" in *RepoDigests*) echo '["{registry}-backend@{digest}","other@sha256:1"]' ;; *) echo 1000000 ;; esac ;;
esac
exit 0
"""


class Engine:
    """The engine's client, and its calls."""

    def __init__(self, folder: Path, said: str = "", status: int = 0) -> None:
        self.path = folder / "docker"
        self._folder = folder
        self.path.write_text(ENGINE.format(folder=folder, said=said, status=status, registry=REGISTRY, digest=DIGEST))
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self._folder / "calls").read_text().splitlines()

    @property
    def given(self) -> str:
        return (self._folder / "given").read_text()

    def publisher(self, **cache: str) -> Publisher:
        return Publisher(
            REGISTRY, "linux/amd64", {Image(name): digest for name, digest in cache.items()}, str(self.path)
        )


def test_an_image_that_is_there_is_not_built_again(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    assert engine.publisher().publish(Image.BACKEND) == DIGEST
    assert [line.split()[0] for line in engine.calls] == ["pull", "image"]


@pytest.mark.parametrize("said", ["manifest unknown: manifest unknown", "tag does not exist or is not found"])
def test_one_that_is_not_is_built_on_what_runs_now_and_pushed(tmp_path: Path, said: str) -> None:
    engine = Engine(tmp_path, said, 1)
    assert engine.publisher(backend=RUNNING).publish(Image.BACKEND) == DIGEST
    (build,) = [line for line in engine.calls if line.startswith("build ")]
    assert "--build-arg SERVICE=backend" in build
    assert "--build-arg BUILDKIT_INLINE_CACHE=1" in build
    assert f"--cache-from {REGISTRY}-backend@{RUNNING}" in build
    assert "--platform linux/amd64" in build
    assert engine.calls[-3:-1] == [f"tag aldea/backend:release {REFERENCE}", f"push --quiet {REFERENCE}"]


def test_a_registry_in_trouble_is_not_taken_for_an_absent_image(tmp_path: Path) -> None:
    engine = Engine(tmp_path, "500 Internal Server Error", 1)
    with pytest.raises(NotPublished, match="500 Internal"):
        engine.publisher().publish(Image.BACKEND)
    assert [line.split()[0] for line in engine.calls] == ["pull"]


def test_a_client_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotPublished, match="install Docker or set DOCKER"):
        Publisher(REGISTRY, "linux/amd64", docker=str(tmp_path / "none")).publish(Image.BACKEND)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_images_go_to_the_repositories_that_the_program_makes(stack: str) -> None:
    config = StackConfig.model_validate(stack_file.read(stack))
    assert registry_of(config) == f"{config.stack.account_id}.dkr.ecr.us-west-2.amazonaws.com/{config.stack.cluster}"


def test_ecr_is_signed_in_to_with_a_password_that_no_command_line_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tmp_path)
    token = base64.b64encode(b"AWS:the-password").decode()

    class Ecr:
        def get_authorization_token(self) -> dict[str, list[dict[str, str]]]:
            return {"authorizationData": [{"authorizationToken": token}]}

    monkeypatch.setattr(botocore.session.Session, "create_client", lambda *_, **__: Ecr())
    sign_in("111122223333.dkr.ecr.us-west-2.amazonaws.com/prod", str(engine.path))
    assert engine.calls == ["login --username AWS --password-stdin 111122223333.dkr.ecr.us-west-2.amazonaws.com"]
    assert engine.given == "the-password"


def test_another_registry_is_not_signed_in_to(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    sign_in(REGISTRY, str(engine.path))
    assert not (tmp_path / "calls").exists()


def test_a_failure_is_reported_and_writes_no_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(tmp_path, "500 Internal Server Error", 1)
    monkeypatch.setenv("DOCKER", str(engine.path))
    out = tmp_path / "images.json"
    assert publish.main(["dev", "--out", str(out), "--registry", REGISTRY]) == 1
    assert "500 Internal" in capsys.readouterr().err
    assert not out.exists()


def test_a_cache_that_cannot_be_read_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("nonsense")
    with pytest.raises(SystemExit) as ended:
        publish.main(["dev", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache.json")])
    assert ended.value.code == 2
