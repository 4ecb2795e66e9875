import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from onebox.process import Process, ProcessSpec, StartFailed

FAST_PYTHON = (sys.executable, "-I", "-S", "-c")
SLEEP = "import time\ntime.sleep(600)"
# Starts a process of its own, prints its id, and sleeps.
PARENT = f"import subprocess, sys, time\nc = subprocess.Popen([sys.executable, '-I', '-S', '-c', {SLEEP!r}])\n"
PARENT += "print(c.pid, flush=True)\ntime.sleep(600)"


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)


def test_a_process_is_started_awaited_and_stopped() -> None:
    process = Process(ProcessSpec(name="sleeper", argv=(*FAST_PYTHON, SLEEP))).start()
    assert process.running
    assert process.status is None
    assert process.stop() == -signal.SIGTERM
    assert not process.running


def test_one_that_ends_before_it_is_ready_fails_with_what_it_printed(tmp_path: Path) -> None:
    spec = ProcessSpec(name="broken", argv=(*FAST_PYTHON, "raise SystemExit('no disk')"), ready=lambda: False)
    with pytest.raises(StartFailed, match=r"broken ended while starting \(status 1\)[^$]*no disk"):
        Process(spec, tmp_path / "log").start()


def test_one_that_is_never_ready_is_stopped_at_the_deadline() -> None:
    process = Process(ProcessSpec(name="slow", argv=(*FAST_PYTHON, SLEEP), ready=lambda: False))
    with pytest.raises(StartFailed, match=r"slow was not ready within 0\.1 s"):
        process.start(timeout=0.1)
    assert not process.running


def test_a_program_that_does_not_exist_is_a_plain_sentence() -> None:
    with pytest.raises(StartFailed, match=r"ghost cannot be run \(/no/such/program\): No such file"):
        Process(ProcessSpec(name="ghost", argv=("/no/such/program",))).launch()


def test_a_secret_reaches_a_process_by_its_standard_input(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read().upper())"
    process = Process(ProcessSpec(name="reader", argv=(*FAST_PYTHON, code), given="secret\n"), tmp_path / "log").start()
    assert process.wait(60) == 0
    assert (tmp_path / "log").read_text().split() == ["SECRET"]


def test_what_a_process_started_ends_with_it() -> None:
    process = Process(ProcessSpec(name="parent", argv=(*FAST_PYTHON, PARENT)))
    process.launch(capture=True)
    grandchild = int(process.output.readline())
    process.signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    wait_gone(grandchild)
    process.output.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_children_die_with_a_killed_parent() -> None:
    code = (
        "import sys, time\nfrom onebox.process import Process, ProcessSpec\n"
        f"p = Process(ProcessSpec(name='child', argv=(sys.executable, '-I', '-S', '-c', {SLEEP!r})))\n"
        "p.launch()\nprint(p.pid, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=path_environment()) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    wait_gone(child)


def path_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
