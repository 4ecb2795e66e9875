import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.turns import AT_ONCE, Turns

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from tests.turns import Turns
with Turns(Path(sys.argv[1]), places=1).turn():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_place_is_one_processs_at_a_time_and_free_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(tmp_path / "turns", places=1)
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
        with turns.turn():
            assert len(looks) == 1


def test_who_hangs_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 319.0, 321.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(Turns, "_take", lambda *_: None)
    with Turns(tmp_path / "turns").turn():
        pass
    assert next(now, None) is None


def test_one_run_of_the_tests_never_waits() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert f"--numprocesses={AT_ONCE} " in makefile
