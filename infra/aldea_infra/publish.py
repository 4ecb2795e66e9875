"""Builds the images that a stack's registry does not have yet, pushes them, and says every image's digest.

python -m aldea_infra.publish STACK --out FILE [--cache FILE] [--registry HOST/PREFIX]

An image's tag is the hash of what goes into it, as in `registry`: what did not change is neither built nor pushed
again, keeps its digest, and its tasks are not replaced; a second run for one commit pushes nothing. `--cache` names
the images that run now (`aldea_infra.release images`): each carries its build's cache, so that new code is built on
the dependency layer that is there already.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import botocore.exceptions
import botocore.session
from botocore.config import Config

from aldea_infra.catalogue import Image
from aldea_infra.components.naming import Names
from aldea_infra.components.registry import PLATFORMS, ROOT, image_tag
from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig

BUILD: Final = ROOT / "scripts" / "images"
# The name that scripts/images gives an image here.
LOCAL_TAG: Final = "release"
# ECR's hosts: ACCOUNT.dkr.ecr.REGION.amazonaws.com.
ECR: Final = re.compile(r"\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com$")
# What registries say of a tag that they do not have; everything else is a failure.
ABSENT: Final = ("manifest unknown", "not found")
# A push of the largest image over a slow line.
DOCKER_SECONDS: Final = 900.0
# A build from nothing on a small runner.
BUILD_SECONDS: Final = 1800.0


class NotPublished(Exception):
    """A build or push failed; the message says which and what was printed."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Builds for and pushes to one stack's repositories. `cache`: digests that run now, by image."""

    registry: str  # HOST/PREFIX before each image's name
    platform: str
    cache: Mapping[Image, str] = field(default_factory=dict)
    docker: str = "docker"

    def publish(self, image: Image) -> str:
        """The digest of an image whose inputs are those of this checkout. Raises NotPublished."""
        reference = f"{self.registry}-{image}:{image_tag(image, self.platform)}"
        began = time.monotonic()
        found = self._run("pull", "--quiet", "--platform", self.platform, reference, may_be_absent=True)
        if found is None:
            self._build(image)
            self._run("tag", f"aldea/{image}:{LOCAL_TAG}", reference)
            self._run("push", "--quiet", reference)
        digest = self._digest(reference)
        done = "already there" if found is not None else f"built and pushed in {time.monotonic() - began:.0f} s"
        _say(f"{image}: {done}: {digest}")
        return digest

    def _build(self, image: Image) -> None:
        given = os.environ.get("DOCKER_BUILD_ARGS", "")
        options = [given, "--platform", self.platform, "--build-arg BUILDKIT_INLINE_CACHE=1"]
        if running := self.cache.get(image):
            options += ["--cache-from", f"{self.registry}-{image}@{running}"]
        environment = {
            **os.environ,
            "DOCKER": self.docker,
            "TAG": LOCAL_TAG,
            "DOCKER_BUILD_ARGS": " ".join(options),
            # One manifest, whose digest is what ECS reports, not an index with an attestation beside it.
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        said = subprocess.run(
            [BUILD, image.package],
            env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
        )  # fmt: skip
        if said.returncode != 0:
            raise NotPublished(f"{image} cannot be built:\n{said.stdout}{said.stderr}")

    def _digest(self, reference: str) -> str:
        repository = reference.rpartition(":")[0]
        known = self._run("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        references: list[str] = json.loads(known or "[]")
        digests = [each.rpartition("@")[2] for each in references if each.startswith(f"{repository}@")]
        if len(digests) != 1:
            raise NotPublished(f"{reference}: got {len(digests)} digests of it from the engine, expected 1: {digests}")
        return digests[0]

    def _run(self, *arguments: str, may_be_absent: bool = False) -> str | None:
        """A docker command's output; None if its object does not exist. Raises NotPublished."""
        try:
            said = subprocess.run(
                [self.docker, *arguments], capture_output=True, text=True, timeout=DOCKER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise NotPublished(f"docker {' '.join(arguments)} took longer than {DOCKER_SECONDS:g} s") from None
        except OSError as error:
            raise NotPublished(
                f"{self.docker} cannot be run ({error.strerror}); install Docker or set DOCKER"
            ) from None
        if said.returncode == 0:
            return said.stdout
        if may_be_absent and any(word in said.stderr for word in ABSENT):
            return None
        raise NotPublished(f"docker {' '.join(arguments)} failed: {said.stderr.strip()}")


def sign_in(registry: str, docker: str) -> None:
    """Let the engine push to ECR for the next hours, as whoever the AWS credentials are; other registries need none."""
    host = registry.partition("/")[0]
    if (found := ECR.search(host)) is None:
        return
    client = botocore.session.get_session().create_client(
        "ecr", region_name=found[1], config=Config(connect_timeout=10, read_timeout=30)
    )
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    said = subprocess.run(
        [docker, "login", "--username", user, "--password-stdin", host],
        input=password, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if said.returncode != 0:
        raise NotPublished(f"docker login to {host} failed: {said.stderr.strip()}")


def registry_of(config: StackConfig) -> str:
    """Where a stack's images go: `HOST/CLUSTER`, before `-IMAGE`."""
    host = f"{config.stack.account_id}.dkr.ecr.{config.stack.region}.amazonaws.com"
    return f"{host}/{Names.of(config).repository(Image.BACKEND).removesuffix(f'-{Image.BACKEND}')}"


def main(arguments: Sequence[str]) -> int:
    """Publish every image; the process's exit status: 1 if one could not be, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.publish", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--out", type=Path, required=True, help="write the digests here, as JSON by image")
    parser.add_argument("--cache", type=Path, help="JSON: the images that run now, to build upon")
    parser.add_argument("--registry", help="another registry than the stack's: HOST/PREFIX")
    chosen = parser.parse_args(arguments)
    docker = os.environ.get("DOCKER", "docker")
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
        cache = json.loads(chosen.cache.read_text()) if chosen.cache else {}
    except (OSError, ValueError) as error:
        parser.error(str(error))
    registry = chosen.registry or registry_of(config)
    try:
        sign_in(registry, docker)
        publisher = Publisher(registry, PLATFORMS[config.stack.architecture], cache, docker)
        digests = {image.value: publisher.publish(image) for image in Image}
    except (
        NotPublished,
        subprocess.TimeoutExpired,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        _say(str(error))
        return 1
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(digests, indent=2) + "\n")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress for a person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
