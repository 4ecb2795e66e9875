"""Packages of clients for Python that cannot be in the project's own: each list in a folder, over the project's.

One that is complete is used again: its folder is named after what is installed in it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from onebox.home import ROOT

FOLDER: Final = ROOT / ".clients"
REQUIREMENTS: Final = ROOT / "requirements"
INSTALL_SECONDS: Final = 600


class NotInstalled(Exception):
    """Its packages cannot be installed here; the message says why."""


def packages(*lists: str) -> str:
    """The PYTHONPATH with what these files of requirements/ have; an earlier one comes first. Raises NotInstalled."""
    return os.pathsep.join(str(_installed(REQUIREMENTS / f"{name}.txt")) for name in lists)


def _installed(locked: Path) -> Path:
    name = hashlib.sha256(f"{sys.version} {locked.read_text()}".encode()).hexdigest()[:16]
    folder = FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    # Test processes may want the same one at the same time.
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            wanted = ("install", "--quiet", "--require-hashes", "--no-deps", "--target", str(folder), "-r", str(locked))
            # uv takes 3 s where pip takes 30, but may not know the way to the packages that pip was configured with.
            faults = []
            for installer in (("uv", "pip"), ("pip", "--disable-pip-version-check", "--retries", "1")):
                shutil.rmtree(folder, ignore_errors=True)
                if not (fault := _fault("-m", *installer, *wanted)):
                    break
                faults.append(fault)
            else:
                raise NotInstalled("; ".join(faults))
            (folder / "complete").touch()
    return folder


def _fault(*arguments: str) -> str:
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"its packages did not come within {INSTALL_SECONDS} s"
    if done.returncode:
        return f"its packages cannot be installed here: {(done.stderr or done.stdout).strip()[-500:]}"
    return ""
