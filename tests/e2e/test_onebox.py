"""The onebox's own promises: one at a time, nothing left behind, data and ports kept, failures in plain words."""

import os
import signal
import socket
import urllib.request
from contextlib import closing

import psutil
import pytest

from onebox.process import free_port
from tests.e2e.box import Box, StartBox, run_once


def answers(box: Box) -> bool:
    try:
        with urllib.request.urlopen(f"{box.http}/v1/projects", timeout=2):
            return True
    except urllib.error.HTTPError as refused:
        return refused.code == 401
    except OSError:
        return False


def test_a_second_start_says_that_one_runs_and_where(platform: Box, start: StartBox) -> None:
    second = start(data=platform.data)
    # The shared box's own output file is used by both: the second one's words are its last.
    assert second.process.wait(20) == 1
    assert f"The onebox is running already: process {platform.process.pid}" in second.said
    assert platform.state["address"] in second.said


def test_status_says_where_it_runs(platform: Box) -> None:
    running = run_once(["-m", "onebox", "--data", str(platform.data), "status"])
    assert running.returncode == 0
    assert platform.state["address"] in running.stdout


def test_a_port_that_is_taken_is_named_and_nothing_is_started(start: StartBox) -> None:
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", port))):
        box = start(port=port)
        assert box.process.wait(20) == 1
    assert f"Port {port} is taken by process {os.getpid()}" in box.said
    assert not (box.data / "postgres").exists()


def test_ctrl_c_stops_every_process_and_a_restart_keeps_data_and_ports(start: StartBox) -> None:
    first = start()
    first.wait_ready()
    assert answers(first)
    ports, key = first.state["ports"], first.key
    assert len(first.family) >= len(first.state["pids"])
    assert first.end(signal.SIGINT) == 0, first.said
    assert not first.left_behind()
    assert not (first.data / "state.json").exists()

    second = start(data=first.data)
    second.wait_ready()
    assert second.state["ports"] == ports
    assert second.key == key
    request = urllib.request.Request(f"{second.http}/v1/projects", headers={"Authorization": f"Token {key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200

    # A killed supervisor takes everything with it, and what it leaves in its folder does not disturb the next start.
    # Nothing is waited for in between: the next start does that.
    second.end(signal.SIGKILL)
    third = start(data=first.data)
    third.wait_ready()
    assert answers(third)
    assert not second.left_behind()


def test_a_crashed_service_is_started_again(platform: Box) -> None:
    # A killed sqs_updater would leave its long poll open at the queue: what that is handed stays hidden for the
    # visibility timeout, and the next test's bill would be that late. The frontend owes nobody anything.
    os.kill(platform.state["pids"]["frontend"], signal.SIGKILL)
    platform.wait_back("frontend")
    assert "frontend ended unexpectedly (killed by SIGKILL); starting it again" in platform.said


def test_a_start_that_fails_says_why_and_leaves_nothing_behind(start: StartBox) -> None:
    box = start(DATABASE_URL="postgresql://nobody:none@127.0.0.1:1/none")
    assert box.process.wait(60) == 1
    assert "The platform did not start: migrations failed" in box.said
    assert "none@" not in box.said.replace("nobody:none@127", "")
    assert not [
        child for child in psutil.Process().children(recursive=True) if str(box.data) in " ".join(child.cmdline())
    ]


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        ("ws_proxy", "REDIS_URL"),
        ("http_proxy", "STT_UPSTREAMS"),
        ("backend", "DATABASE_URL"),
        ("sqs_updater", "DATABASE_URL"),
        ("frontend", "PLATFORM_API_URL"),
        ("stt_api", ""),
    ],
)
def test_a_service_with_a_missing_or_bad_setting_stops_with_one_clear_line(service: str, missing: str) -> None:
    done = run_once(["-m", service], PORT="no-number")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{service}: bad settings: ")
    assert "PORT: got 'no-number'" in lines[0]
    if missing:
        assert f"{missing}: got nothing; allowed: " in lines[0]
