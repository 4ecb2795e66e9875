"""The whole platform from its images: one stream and one upload through the containerised proxies, and a drain."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from onebox.containers import DOCKER
from tests.containers.engine import SERVICES, TAG, Report, docker, name_of
from tests.e2e.box import Box, start_box
from tests.recordings import RATE, speech

# A loaded machine starts six containers one after the other.
CANARY_SECONDS = 180


@pytest.fixture(scope="module")
def platform(data_folder: Path) -> Iterator[Box]:
    box = start_box(data_folder / "images", "run", "--no-demo", "--images", TAG)
    box.wait_ready()
    ours = f"name=aldea-onebox-{box.port}-"
    yield box
    assert box.end() == 0, box.said
    assert not box.errors()
    assert docker("ps", "--all", "--quiet", "--filter", ours).stdout == ""


def container(box: Box, service: str) -> str:
    return f"aldea-onebox-{box.port}-{service.replace('_', '-')}"


def test_every_service_runs_from_its_image_locked_down_and_ready(platform: Box, report: Report) -> None:
    for service in SERVICES:
        (found,) = json.loads(docker("container", "inspect", container(platform, service)).stdout)
        assert found["Config"]["Image"] == name_of(service)
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert found["State"]["Running"]
        report.saw(service, in_the_platform="ready")


def test_no_secret_stands_on_a_containers_command_line(platform: Box) -> None:
    lines = [line.read_bytes() for line in Path("/proc").glob("[0-9]*/cmdline") if line.exists()]
    clients = [line for line in lines if f"aldea-onebox-{platform.port}".encode() in line]
    assert clients
    assert not [line for line in clients if b"postgresql://" in line]


def test_the_canary_inside_the_image_streams_uploads_and_finds_its_bill(platform: Box, report: Report) -> None:
    said = subprocess.run(
        [
            DOCKER, "exec", "--env=CANARY_KEY", container(platform, "ws_proxy"),
            "python", "-m", "aldea.canary", "--url", platform.http, "--json",
        ],
        env={**os.environ, "CANARY_KEY": platform.key},
        capture_output=True, text=True, timeout=CANARY_SECONDS, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    outcome = json.loads(said.stdout)
    assert [(step["name"], step["ok"]) for step in outcome["steps"]] == [
        ("stream", True),
        ("upload", True),
        ("usage", True),
    ]
    report.saw("ws_proxy", carried="a stream, billed")
    report.saw("http_proxy", carried="an upload, billed")


async def test_a_container_that_is_stopped_ends_its_stream_with_1012_and_its_last_words(platform: Box) -> None:
    """SIGTERM passes the init process, and the drain behind it is the service's own."""
    async with connect(
        f"{platform.ws}/v1/listen?encoding=linear16&sample_rate={RATE}&interim_results=true",
        additional_headers={"Authorization": f"Token {platform.key}"},
        ping_interval=None,
    ) as socket:
        await socket.send(speech(4.0))
        while json.loads(await socket.recv())["type"] != "Results":
            pass
        await asyncio.to_thread(docker, "kill", "--signal=TERM", container(platform, "ws_proxy"))
        last = ""
        with pytest.raises(ConnectionClosed):
            while True:
                last = json.loads(await asyncio.wait_for(socket.recv(), 60))["type"]
        assert (last, socket.close_code) == ("Metadata", 1012)
    await asyncio.to_thread(platform.wait_back, "ws_proxy")
