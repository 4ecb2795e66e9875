"""The onebox's own promises: nothing left behind, data and ports kept, failures in plain words."""

import os
import signal
import socket
import urllib.request
from contextlib import closing

import psutil

from onebox.ports import free_port
from tests.e2e.box import Box, StartBox


def responds(box: Box) -> bool:
    try:
        with urllib.request.urlopen(f"{box.http}/v1/projects", timeout=60):
            return True
    except urllib.error.HTTPError as refused:
        return refused.code == 401
    except OSError:
        return False


def test_a_port_that_is_taken_is_named_and_nothing_is_started(start: StartBox) -> None:
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", port))):
        box = start(port=port)
        assert box.process.wait(120) == 1
    assert f"Port {port} is taken by process {os.getpid()}" in box.said
    assert not (box.data / "postgres").exists()


def test_ctrl_c_stops_every_process_and_a_restart_keeps_data_and_ports(start: StartBox) -> None:
    # One recognition process does for a platform that recognises nothing.
    first = start(STT_WORKERS="1")
    first.wait_ready()
    assert responds(first)
    ports, key, backend = first.state["ports"], first.key, first.state["backend"]
    # An address that needs no resolver serves the whole Platform API.
    with urllib.request.urlopen(f"{backend}/v1/openapi.json", timeout=60) as response:
        assert response.status == 200
    assert len(first.family) >= len(first.state["pids"])
    assert first.end(signal.SIGINT) == 0, first.said
    assert f"backend   {backend} " in first.said
    assert not first.left_behind()
    assert not (first.data / "state.json").exists()

    second = start(data=first.data, STT_WORKERS="1")
    second.wait_ready()
    assert second.state["ports"] == ports
    assert second.key == key
    request = urllib.request.Request(f"{second.http}/v1/projects", headers={"Authorization": f"Token {key}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200

    # A killed supervisor takes everything with it, and what it leaves in its folder does not disturb the next start.
    # Nothing is waited for in between: the next start does that.
    second.end(signal.SIGKILL)
    third = start(data=first.data, STT_WORKERS="1")
    third.wait_ready()
    assert responds(third)
    assert not second.left_behind()


def test_a_start_that_fails_says_why_and_leaves_nothing_behind(start: StartBox) -> None:
    box = start(DATABASE_URL="postgresql://nobody:none@127.0.0.1:1/none")
    assert box.process.wait(120) == 1
    assert "DATABASE_URL: nothing listens on 127.0.0.1:1." in box.said
    assert "none@" not in box.said
    assert not [
        child for child in psutil.Process().children(recursive=True) if str(box.data) in " ".join(child.cmdline())
    ]
