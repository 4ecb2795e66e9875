"""`make setup` of an empty clone, with an interpreter that only notes what it is called for: what it leaves behind."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Stands in for Python: its `-m venv` makes a .venv whose interpreter is this script again.
INTERPRETER = """#!/bin/sh
echo "$*" >>calls.log
case "$*" in
    *"sys.version_info"*) echo 3.11 ;;
    *sysconfig*) mkdir -p site && echo "$PWD/site" ;;
    --version) echo Python 3.11.0 ;;
    "-m venv"*) rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


def clone(folder: Path) -> Path:
    for name in ("setup", "moonshine"):
        (folder / "scripts").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    python = folder / "python"
    python.write_text(INTERPRETER)
    python.chmod(0o755)
    return folder


def set_up(folder: Path) -> list[str]:
    """Run it; what Python was called for, line by line."""
    (folder / "calls.log").unlink(missing_ok=True)
    env = {"PATH": os.environ["PATH"], "PYTHON": str(folder / "python")}
    subprocess.run(["sh", "scripts/setup"], cwd=folder, env=env, check=True, timeout=60)
    log = folder / "calls.log"
    return log.read_text().splitlines() if log.exists() else []


def test_an_empty_clone_has_everything_after_the_first_setup_and_the_second_does_nothing(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    installed = [call for call in set_up(folder) if call.startswith("-m pip install")]
    assert any("requirements/dev.txt" in call for call in installed)
    fits = (
        subprocess.run(["sh", "scripts/moonshine", "true"], cwd=folder, capture_output=True, check=True).stderr == b""
    )
    assert any("requirements/moonshine.txt" in call for call in installed) is fits
    assert set_up(folder) == []


def test_a_new_version_of_the_recognition_engine_alone_rebuilds_nothing_else(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    set_up(folder)
    with (folder / "requirements" / "moonshine.txt").open("a") as file:
        file.write("# another\n")
    assert not [call for call in set_up(folder) if "dev.txt" in call or "venv" in call]
    assert set_up(folder) == []
