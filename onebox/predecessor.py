"""Waiting for what a killed PostgreSQL leaves behind: its processes take a moment to notice, and its pid file stays."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from onebox.process import StartFailed

# A killed server's processes end as soon as they notice, or when their query does.
WAIT_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05
_PID_FILE: Final = "postmaster.pid"


def await_predecessor(data: Path, seconds: float = WAIT_SECONDS) -> None:
    """Return once no server uses the cluster in `data`; a pid file that then still lies there is removed.

    PostgreSQL itself would refuse to start at once, also because of a zombie or of another program that has been given
    the same process id since. Raises StartFailed after `seconds`.
    """
    if not (data / _PID_FILE).exists():
        return
    deadline = time.monotonic() + seconds
    while users := users_of(data):
        if time.monotonic() > deadline:
            raise StartFailed(
                f"PostgreSQL's data in {data} is still used by process {users[0]} after {seconds:g} s. "
                f"End that (`kill -INT {users[0]}`) and start again."
            )
        time.sleep(_POLL_SECONDS)
    (data / _PID_FILE).unlink(missing_ok=True)


def users_of(data: Path) -> list[int]:
    """The processes, zombies left out, that work in this folder, as all of a cluster's servers do."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == data.resolve():
                found.append(process.pid)
    return found
