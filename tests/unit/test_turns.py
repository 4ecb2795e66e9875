import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onebox.byte_locks import ByteLocks
from tests.turns import AT_ONCE, Turns

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from onebox.byte_locks import ByteLocks
from tests.turns import Turns
turns = Turns(ByteLocks(Path(sys.argv[1])), places=1)
turns.take()
print("held", flush=True)
sys.stdin.read()
turns.give_back()
"""


def test_a_place_is_one_processs_at_a_time_and_free_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(ByteLocks(tmp_path / "turns"), places=1)
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "turns")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        looks = []

        def look(seconds: float) -> None:
            looks.append(seconds)
            holder.kill()
            holder.wait()

        monkeypatch.setattr("time.sleep", look)
        turns.take()
        assert len(looks) == 1
        turns.take()  # it has one
        turns.give_back()


def test_who_hangs_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 599.0, 601.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(Turns, "_free", lambda *_: None)
    turns = Turns(ByteLocks(tmp_path / "turns"))
    for _ in range(2):
        turns.take()
        turns.give_back()
    assert next(now, None) is None


def test_who_waits_is_served_before_who_comes_again(tmp_path: Path) -> None:
    turns = Turns(ByteLocks(tmp_path / "turns"), places=1)
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "turns")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        deadline = time.monotonic() + 60
        while not select.select([other.stdout], [], [], 0)[0]:
            turns.take()
            assert time.monotonic() < deadline
            turns.give_back()
        assert other.stdout.readline() == b"held\n"


def test_one_run_of_the_tests_never_waits() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert f"--numprocesses={AT_ONCE} " in makefile
