"""Child processes of the onebox and of the tests: described as data, started, waited for, stopped for certain."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from onebox.printed import quote

# How often a starting process is checked for readiness, and a stopping one for its end.
_POLL_SECONDS: Final = 0.02
# Against a hang alone: a slow and busy machine takes half a minute for what takes a second elsewhere.
START_SECONDS: Final = 120.0
_PR_SET_PDEATHSIG: Final = 1
# How much of a failed process's output is looked at for its error.
_TAIL_BYTES: Final = 256 * 1024

# Loaded here and not after a fork, where other threads' locks may be held for ever.
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartFailed(RuntimeError):
    """A process ended or did not become ready in time; the message carries the end of what it printed."""


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """A process to run.

    `ready` returns True once it can be used; `user` is the system user to run it as; `given` is what it reads on its
    standard input (a secret that must not be in the process list), at most a pipe's 64 KiB. `private`: the files
    that it makes are for its user alone.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    given: str = ""
    private: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    ready: Callable[[], bool] = lambda: True


def _die_with(parent: int) -> Callable[[], None]:
    def arrange() -> None:
        # A killed parent cannot stop its children; on Linux the kernel does it for us. The parent is the *thread* that
        # started the child: start processes from the main thread only.
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it was killed before the line above
                os._exit(1)

    return arrange


class Process:
    """One running child with its descendants, in a process group of its own.

    Its output goes to `log` (a file), or to a pipe if it is launched with `capture`, or to this process's own streams.
    """

    def __init__(self, spec: ProcessSpec, log: Path | None = None) -> None:
        self.spec = spec
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # the log's length when the child was started: what is before it is another start's

    @property
    def pid(self) -> int:
        """The process id; only while it has been started."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and not self._ended()

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._child.returncode if self._child is not None and self._ended() else None

    @property
    def output(self) -> IO[bytes]:
        """The reading end of its output's pipe; only if it was launched with `capture`."""
        if self._started.stdout is None:
            raise RuntimeError(f"the output of {self.spec.name} is not captured")
        return self._started.stdout

    def start(self, timeout: float = START_SECONDS) -> "Process":
        """Start it and wait until it is ready. Raises StartFailed after `timeout` seconds or if it ends."""
        self.launch()
        self.wait_ready(timeout)
        return self

    def launch(self, *, capture: bool = False) -> None:
        """Start it without waiting. Raises StartFailed if the program cannot be run at all."""
        self._log_start = self.log.stat().st_size if self.log is not None and self.log.exists() else 0
        file = self.log.open("ab") if self.log is not None and not capture else None
        output: IO[bytes] | int | None = subprocess.PIPE if capture else file
        try:
            self._child = subprocess.Popen(
                self.spec.argv,
                env={**os.environ, **self.spec.env},
                cwd=self.spec.cwd,
                stdin=subprocess.PIPE if self.spec.given else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                user=self.spec.user,
                group=self.spec.user,
                extra_groups=[] if self.spec.user else None,
                umask=0o077 if self.spec.private else -1,
                start_new_session=True,  # a Ctrl-C at the terminal reaches the supervisor alone, which stops in order
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - it makes two system calls and takes no lock
            )
        except OSError as error:
            raise StartFailed(f"{self.spec.name} cannot be run ({self.spec.argv[0]}): {error.strerror}.") from None
        finally:
            if file is not None:
                file.close()
        if self._child.stdin is not None:
            with suppress(BrokenPipeError), self._child.stdin as pipe:
                pipe.write(self.spec.given.encode())

    def wait_ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until it is ready. Raises StartFailed."""
        deadline = time.monotonic() + timeout
        while not self.spec.ready():
            if not self.running:
                raise StartFailed(f"{self.spec.name} ended while starting (status {self.status}).{self.tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailed(f"{self.spec.name} was not ready within {timeout:g} s.{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.running:
            self._started.send_signal(number)

    def kill(self) -> None:
        """End it and its descendants at once (SIGKILL) and reap it."""
        if self.running:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._started.wait()

    def wait(self, timeout: float) -> int | None:
        """Wait for its end; its exit status, or None if it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self.running and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return self.status

    def stop(self, timeout: float = 8.0) -> int | None:
        """Send its stop signal, kill it after `timeout` seconds. Returns its exit status."""
        self.signal(self.spec.stop_signal)
        if self.wait(timeout) is None:
            self.kill()
        return self.status

    def tail(self) -> str:
        """What this start printed, its first error first, as a sentence's continuation; empty if there is nothing."""
        try:
            with (self.log or Path(os.devnull)).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # A log that is shorter than it was has been made anew.
                file.seek(max(self._log_start if self._log_start <= size else 0, size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return quote(text.splitlines())

    @property
    def _started(self) -> "subprocess.Popen[bytes]":
        if self._child is None:
            raise RuntimeError(f"{self.spec.name} was not started")
        return self._child

    def _ended(self) -> bool:
        """Whether it has ended; if so, whatever it left behind in its process group is ended too."""
        child = self._started
        if child.returncode is not None:
            return True
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
            # It is still a zombie, so the group's number cannot have been given to somebody else.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        return child.poll() is not None
