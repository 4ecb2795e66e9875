"""Child processes of the onebox and of the tests: described as data, started, waited for, stopped for certain."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

# How often a starting process is asked whether it is ready.
_POLL_SECONDS: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1


class StartFailed(RuntimeError):
    """A process ended or did not become ready in time; the message carries the end of what it printed."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to run. `ready` returns True once it can be used; `user` is the system user to run it as."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    ready: Callable[[], bool] = lambda: True


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with closing(socket.socket()) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_parent() -> None:
    # A killed parent cannot stop its children; on Linux the kernel does it for us.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One running child. Its output goes to `log` (a file) or to this process's own streams."""

    def __init__(self, spec: ProcessSpec, log: Path | None = None) -> None:
        self.spec = spec
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; only while it has been started."""
        if self._child is None:
            raise RuntimeError(f"{self.spec.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(self, timeout: float = 30.0) -> "Process":
        """Start it and wait until it is ready. Raises StartFailed after `timeout` seconds or if it ends."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        output: IO[bytes] | None = self.log.open("ab") if self.log is not None else None
        try:
            self._child = subprocess.Popen(
                self.spec.argv,
                env={**os.environ, **self.spec.env},
                cwd=self.spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                user=self.spec.user,
                group=self.spec.user,
                extra_groups=[] if self.spec.user else None,
                start_new_session=True,  # a Ctrl-C at the terminal reaches the supervisor alone, which stops in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads are running where processes are started
            )
        finally:
            if output is not None:
                output.close()

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until it is ready. Raises StartFailed."""
        deadline = time.monotonic() + timeout
        while not self.spec.ready():
            if not self.running:
                raise StartFailed(f"{self.spec.name} ended while starting (status {self.status}).{self._tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f"{self.spec.name} was not ready within {timeout:g} s.{self._tail()}")
            time.sleep(_POLL_SECONDS)

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._child.poll() if self._child is not None else None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.running and self._child is not None:
            self._child.send_signal(number)

    def kill(self) -> None:
        """End it at once (SIGKILL) and reap it."""
        self.signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait()

    def wait(self, timeout: float) -> int | None:
        """Wait for its end; its exit status, or None if it still runs after `timeout` seconds."""
        if self._child is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(timeout)
        return None

    def stop(self, timeout: float = 8.0) -> int | None:
        """Ask it to end, insist after `timeout` seconds. Returns its exit status."""
        self.signal(self.spec.stop_signal)
        if self.wait(timeout) is None:
            self.kill()
        return self.status

    def _tail(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-12:]
        return " It printed:\n  " + "\n  ".join(lines) if lines else ""
