"""The operating system's side of a recognition process: start, stop, and what it leaves when it dies."""

import asyncio
import os
import signal
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from stt_api.model import Model
from stt_api.recognition.events import ENGINE_VARIABLE, MEMORY_VARIABLE, MODEL_PATH_VARIABLE

# A process that was signalled to end (its stdin closed) has this long.
STOP_SECONDS: Final = 2.0
# Of what a process printed, so many lines are kept for the event that reports its end; of each so many characters. The
# stacks of a fault (faulthandler) are about twenty lines.
KEPT_LINES: Final = 40
KEPT_CHARACTERS: Final = 300
_READ_BYTES: Final = 4096


async def start(model: Model, memory_mb: int | None) -> asyncio.subprocess.Process:
    """Start a recognition process. `memory_mb`: that it may use, None for no bound. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stt_api.recognition.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            # It finds the same packages as this process, however this one found them.
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            # As many memory pools of malloc's as threads would be most of what the process takes.
            "MALLOC_ARENA_MAX": "2",
            ENGINE_VARIABLE: model.engine,
            MODEL_PATH_VARIABLE: model.folder or "",
            MEMORY_VARIABLE: "" if memory_mb is None else str(memory_mb),
        },
    )


async def stop(process: asyncio.subprocess.Process) -> None:
    """End the process for certain: its stdin closes, then it is killed."""
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class LastLines:
    """What a process prints to its stderr: printed here too, and the last lines kept."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = ""

    async def follow(self, printed: asyncio.StreamReader) -> None:
        """Read until the process closes it. A line without an end is kept as far as it is shown."""
        while data := await printed.read(_READ_BYTES):
            text = data.decode(errors="replace")
            with suppress(OSError, ValueError):  # nobody reads this process's own stderr
                sys.stderr.write(text)
                sys.stderr.flush()
            *lines, rest = (self._rest + text).split("\n")
            self._lines.extend(line[:KEPT_CHARACTERS] for line in lines if line.strip())
            self._rest = rest[:KEPT_CHARACTERS]

    @property
    def kept(self) -> list[str]:
        """The last lines, oldest first."""
        return [*self._lines, self._rest] if self._rest.strip() else list(self._lines)


def cause(status: int) -> str:
    """How a process came to its end, by its exit status (asyncio's: negative for a signal)."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        name = signal.Signals(-status).name
        return f"{name}, from outside: by a person, or for want of memory" if name == "SIGKILL" else name
    return f"signal {-status}"


def computed_seconds(pid: int) -> float | None:
    """Seconds of computing that the process has had; None where the system does not say (it needs Linux's /proc)."""
    try:
        # The name in parentheses may hold anything; the 12th and 13th field behind it are ticks as user and as system.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
