"""Environments of clients for Python that cannot be in the project's own: each in a folder, by the same pip.

One that is complete is used again: its folder is named after what is installed in it.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from onebox.home import ROOT

FOLDER: Final = ROOT / ".clients"
LOCKED: Final = ROOT / "requirements" / "clients.txt"
INSTALL_SECONDS: Final = 600


class NotInstalled(Exception):
    """Its packages cannot be installed here; the message says why."""


def python_with(requirements: Sequence[str] = ()) -> Path:
    """The Python of an environment with these, or with what requirements/clients.txt has. Raises NotInstalled."""
    content = " ".join(requirements) if requirements else LOCKED.read_text()
    name = hashlib.sha256(f"{sys.version} {content}".encode()).hexdigest()[:16]
    FOLDER.mkdir(exist_ok=True)
    python = FOLDER / name / "bin" / "python"
    # Test processes may want the same one at the same time.
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / name / "complete").exists():
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            _run("-m", "venv", "--without-pip", str(FOLDER / name))
            wanted = [*requirements] if requirements else ["--require-hashes", "--no-deps", "-r", str(LOCKED)]
            pip = ("-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check")
            _run(*pip, "--retries", "1", *wanted)
            (FOLDER / name / "complete").touch()
    return python


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"its packages did not come within {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise NotInstalled(f"its packages cannot be installed here: {(done.stderr or done.stdout).strip()[-500:]}")
