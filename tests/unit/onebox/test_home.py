import errno
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from onebox.home import BALANCER, DEFAULT_PORTS, AlreadyRunning, Home, PortTaken, port_message
from onebox.ports import free_port, port_is_free


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "box")


def test_a_second_start_says_which_process_runs_and_where(home: Home) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\nfrom onebox.home import Home\n"
        f"home = Home(Path({str(home.path)!r}))\nhome.lock()\nprint('locked', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        assert home.running_pid() == other.pid
        with pytest.raises(AlreadyRunning, match=rf"process {other.pid} uses .* just starting"):
            home.lock()
        home.write_state({"address": "http://localhost:8080"})
        with pytest.raises(AlreadyRunning, match=rf"serves on http://localhost:8080.*kill {other.pid}"):
            home.lock()
        other.kill()
        other.wait()
    home.lock()  # a killed one leaves no lock behind
    home.unlock()
    assert home.running_pid() is None


def test_the_interpreters_folder_is_not_removed_below_a_platform_with_any_data_folder(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "a clone"
    (clone / "scripts").mkdir(parents=True)
    (clone / ".onebox").mkdir()
    (clone / ".venv").mkdir()
    (clone / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    script = shutil.copy(Path(__file__).parents[3] / "scripts" / "clean", clone / "scripts" / "clean")
    monkeypatch.setattr(sys, "prefix", str(clone / ".venv"))
    home.lock()
    refused = subprocess.run([script], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "a platform with another data folder (--data) runs from .venv; stop it first" in refused.stderr
    assert {path.name for path in clone.iterdir()} == {"scripts", ".onebox", ".venv"}
    subprocess.run([script, "data"], check=True)
    assert {path.name for path in clone.iterdir()} == {"scripts", ".venv"}
    home.unlock()
    subprocess.run([script], check=True)
    assert {path.name for path in clone.iterdir()} == {"scripts"}


def test_ports_are_remembered(home: Home) -> None:
    first = home.ports(["redis", BALANCER], 0)
    assert home.ports([BALANCER, "redis", "sqs"], 0).items() >= first.items()
    assert Home(home.path).ports(["redis"], None)["redis"] == first["redis"]


def test_free_ports_leave_the_usual_ones_to_others(home: Home) -> None:
    chosen = home.ports(DEFAULT_PORTS, 0)
    assert not set(chosen.values()) & set(DEFAULT_PORTS.values())
    assert len(set(chosen.values())) == len(chosen)


def test_an_inner_port_that_is_taken_moves(home: Home) -> None:
    first = home.ports(["redis"], 0)["redis"]
    with closing(socket.create_server(("127.0.0.1", first))):
        moved = home.ports(["redis"], 0)["redis"]
    assert moved != first
    assert port_is_free(moved)


def test_the_balancers_port_that_is_taken_is_named_with_its_user(home: Home) -> None:
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", port))), pytest.raises(PortTaken) as taken:
        home.ports([BALANCER], port)
    assert re.match(rf"Port {port} is taken by process \d+ \(.*\)\. Stop that, or choose another", str(taken.value))


def test_secrets_are_made_once_and_readable_by_their_owner_alone(home: Home) -> None:
    secret = home.secret("stt")
    assert len(secret) >= 32
    assert Home(home.path).secret("stt") == secret
    home.write_state({"database_url": "postgresql://"})
    for name in ("stt.secret", "state.json"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600


def test_a_state_that_was_cleared_or_damaged_is_empty(home: Home) -> None:
    home.write_state({"address": "http://localhost"})
    assert home.state() == {"address": "http://localhost"}
    (home.path / "state.json").write_text("{half")
    assert home.state() == {}
    home.clear_state()
    home.clear_state()
    assert home.state() == {}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "is for root alone on this system (permission denied)"),
        (errno.EADDRINUSE, "is taken by another program"),
        (errno.EADDRNOTAVAIL, "cannot be used: Cannot assign requested address"),
    ],
)
@pytest.mark.parametrize("port", [1, 80, 443, 65_530])
def test_each_reason_why_a_port_cannot_be_had_is_a_sentence_of_its_own(number: int, words: str, port: int) -> None:
    said = port_message(port, OSError(number, os.strerror(number)))
    assert said.startswith(f"Port {port} {words}")
    suggested = int(said.partition("ONEBOX_PORT=")[2].split()[0])
    assert 1024 <= suggested <= 65_535
    assert port_is_free(suggested)
