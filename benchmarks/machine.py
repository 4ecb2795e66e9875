"""The machine that a benchmark ran on, as its report keeps it."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

# What a figure depends on beside the processor.
_PACKAGES: Final = ("uvloop", "aiohttp", "redis", "hiredis")


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


def load() -> float:
    """How busy the machine was in the last minute, in cores; what a benchmark begins with says whether it was alone."""
    return round(os.getloadavg()[0], 2)


def _line(path: str, pattern: str) -> str | None:
    file = Path(path)
    found = re.search(pattern, file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1].strip() if found else None
