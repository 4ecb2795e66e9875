import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onebox.predecessor import await_predecessor, users_of
from onebox.process import StartFailed


@contextmanager
def somebody_in(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that works in `folder` until it gets SIGTERM."""
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A cluster's folder with the pid file of a server, which names a process that certainly runs: the first."""
    (tmp_path / "postmaster.pid").write_text("1\n")
    return tmp_path


def test_a_pid_file_whose_server_is_gone_is_removed_whoever_has_its_number_now(data: Path) -> None:
    await_predecessor(data)
    assert not (data / "postmaster.pid").exists()


def test_without_a_pid_file_nobody_is_waited_for(tmp_path: Path) -> None:
    with somebody_in(tmp_path):
        await_predecessor(tmp_path, seconds=0)


def test_a_server_that_still_ends_is_waited_for(data: Path) -> None:
    with somebody_in(data) as process:
        waiting = threading.Thread(target=await_predecessor, args=(data,))
        waiting.start()
        assert users_of(data) == [process.pid]
        assert (data / "postmaster.pid").exists()
        assert waiting.is_alive()
        process.communicate(b"\n")
        waiting.join(60)
    assert not (data / "postmaster.pid").exists()


def test_one_that_does_not_end_is_named_and_its_pid_file_stays(data: Path) -> None:
    with somebody_in(data) as process:
        with pytest.raises(StartFailed, match=f"still used by process {process.pid}"):
            await_predecessor(data, seconds=0)
        process.communicate(b"\n")
    assert (data / "postmaster.pid").exists()


def test_a_zombie_uses_nothing(data: Path) -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""], cwd=data)
    try:
        while users_of(data):
            pass
        await_predecessor(data, seconds=0)
    finally:
        process.wait()
