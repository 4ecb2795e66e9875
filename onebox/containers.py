"""The platform's services from their container images: what starts one, as locked down as on Fargate."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from onebox.process import ProcessSpec, StartFailed

DOCKER: Final = os.environ.get("DOCKER", "docker")
# What scripts/images tags by default.
LOCAL_TAG: Final = "local"
# A read-only root, no capability, no way to gain one. The host's network, since the
# embedded stores listen on loopback alone.
LOCKED_DOWN: Final = (
    "--network=host",
    "--init",
    "--read-only",  # but for /tmp, which the image names as a volume
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
# Settings of a person's shell that a process would inherit.
PASSED_ON: Final = ("ALLOW_LOOPBACK_URLS", "LOG_LEVEL", "STT_ENGINE")
_ENGINE_SECONDS: Final = 30.0


def image_of(service: str, tag: str = LOCAL_TAG) -> str:
    """The image of a service: `ws_proxy` → `aldea/ws-proxy:local`."""
    return f"aldea/{service.replace('_', '-')}:{tag}"


def missing(services: Sequence[str], tag: str) -> str | None:
    """Why the services cannot be run from images, None if they can."""
    try:
        said = subprocess.run(
            [DOCKER, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
            capture_output=True, text=True, timeout=_ENGINE_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"No container engine responds ({DOCKER}: {error}). Start one, or name its client by DOCKER."
    if said.returncode != 0:
        return f"No container engine responds: {said.stderr.strip()}. Start one, or name it by DOCKER_HOST."
    absent = sorted({image_of(service, tag) for service in services} - set(said.stdout.split()))
    return f"These images are not there: {', '.join(absent)}. Build them: make images" if absent else None


def in_container(spec: ProcessSpec, service: str, tag: str, name: str, command: Sequence[str] = ()) -> ProcessSpec:
    """The process `spec` as a container called `name` of the service's image.

    Values travel in the client's environment, so that no secret is in the process list. The client passes signals
    on and ends with the container's status.
    """
    inherited = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # The image has a PYTHONPATH of its own.
    settings = {key: value for key, value in {**inherited, **spec.env}.items() if key != "PYTHONPATH"}
    argv = (
        DOCKER, "run", "--rm", f"--name={name}", *LOCKED_DOWN,
        *(f"--env={key}" for key in sorted(settings)), image_of(service, tag), *command,
    )  # fmt: skip
    return replace(spec, argv=argv, env=settings)


def remove(name: str) -> None:
    """Remove a container that a killed client left behind; nothing happens if there is none. Raises StartFailed."""
    try:
        subprocess.run(
            [DOCKER, "rm", "--force", "--volumes", name], capture_output=True, timeout=_ENGINE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartFailed(f"The container {name} cannot be removed: {error}") from None
