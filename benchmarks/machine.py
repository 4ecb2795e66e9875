"""The machine that a benchmark ran on, as its report keeps it."""

import os
import platform
import re
import resource
import subprocess
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

# What a figure depends on beside the processor.
_PACKAGES: Final = ("uvloop", "aiohttp", "redis", "hiredis")
# Far above ordinary processes (0), below what the system itself needs at once (-20).
_FIRST: Final = -15


def facts(nginx: str | None = None) -> dict[str, Any]:
    """Processor, memory, kernel and versions. `nginx`: the path of its program, if it was a peer."""
    found: dict[str, Any] = {
        "architecture": platform.machine(),
        "processor": _line("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(int(_line("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0) / 1e6, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
    if nginx is not None:
        said = subprocess.run((nginx, "-v"), capture_output=True, text=True, check=True, timeout=10).stderr
        found["nginx"] = said.strip().rpartition("/")[2]
    return found


def go_first() -> int:
    """Let this process, and all that it starts, run before other work, if the system allows it; the nice value then.

    What is compared shares the value. It keeps a neighbour's time slices, which last longer than what is measured, out
    of the figures as far as the scheduler can; it makes nothing faster.
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
    return os.getpriority(os.PRIO_PROCESS, 0)


class Company:
    """How much others did on the machine while a benchmark ran: what a reader must know to believe its figures."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _busy_seconds(), _own_seconds()

    def cores(self) -> float:
        """Cores that processes other than ours kept busy on average since the beginning; ours must have ended."""
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return round(max(0.0, others) / (time.monotonic() - self._began), 2)


def _busy_seconds() -> float:
    """Processor time that all cores have spent on anything, what a hypervisor took from them included."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - getattr(times, "iowait", 0.0))


def _own_seconds() -> float:
    """Processor time of this process and of all that it has started and waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(found.ru_utime + found.ru_stime for found in spent)


def _line(path: str, pattern: str) -> str | None:
    file = Path(path)
    found = re.search(pattern, file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1].strip() if found else None
