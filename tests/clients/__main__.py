"""Run each client against a onebox of its own: the same words, and the same bill, through every one of them."""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aldea.canary.accuracy import word_error_rate
from onebox.usage_row import final_usage_row
from tests.clients.python_environment import FOLDER, NotInstalled, python_with
from tests.e2e.box import Box, start_box
from tests.e2e.test_recorded import SENTENCE, wav
from tests.e2e.test_sdk import SENTENCE_MS

HERE: Final = Path(__file__).parent
INSTALL_SECONDS: Final = 1800  # Rust compiles everything, once
RUN_SECONDS: Final = 900  # deepctl starts anew for each of its commands
MAX_WORD_ERROR_RATE: Final = 0.15
# What is compiled is kept from run to run.
KEPT: Final = {"CARGO_TARGET_DIR": str(FOLDER / "rust")}


@dataclass(frozen=True)
class Toolchain:
    """What a language needs: its programs, the command that installs, and the command of each client by its name."""

    tools: tuple[str, ...]
    install: tuple[str, ...]
    clients: Mapping[str, tuple[str, ...]]


TOOLCHAINS: Final = {
    "js": Toolchain(
        ("node", "npm"),
        ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"),
        {
            "@deepgram/sdk 5": ("node", "deepgram5.mjs"),
            "@deepgram/sdk 4": ("node", "deepgram34.mjs", "deepgram-sdk-4"),
            "@deepgram/sdk 3": ("node", "deepgram34.mjs", "deepgram-sdk-3"),
            "openai": ("node", "openai.mjs"),
            "ai, @ai-sdk/deepgram": ("node", "ai.mjs"),
            "a browser's WebSocket": ("node", "browser.mjs"),
        },
    ),
    "livekit": Toolchain(
        ("node", "npm"),
        ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"),
        {"@livekit/agents-plugin-deepgram": ("node", "livekit.mjs")},
    ),
    "go": Toolchain(
        ("go",), ("go", "build", "-mod=mod", "-o", "client", "."), {"deepgram-go-sdk": ("./client",)},
    ),
    "rust": Toolchain(
        ("cargo",), ("cargo", "build", "--quiet"), {"deepgram (crate)": ("cargo", "run", "--quiet")},
    ),
    # Each in an environment of its own; {packages} is its Python.
    "python": Toolchain(
        (), (),
        {
            "deepgram-sdk 3": ("{deepgram-sdk==3.11.0}", "deepgram34.py"),
            "deepgram-sdk 4": ("{deepgram-sdk==4.8.1}", "deepgram34.py"),
            "deepgram-captions": ("{deepgram-captions==2.0.0}", "deepgram_caption.py"),
            "deepctl": ("{deepctl==0.4.0}", "deepctl_commands.py"),
            "livekit-plugins-deepgram": ("{livekit-plugins-deepgram==1.8.9}", "livekit_stt.py"),
            "pipecat-ai": ("{pipecat-ai[deepgram]==1.14.0}", "pipecat_stt.py", SENTENCE.split()[-1].strip(".")),
        },
    ),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 if a client failed; what cannot be tried is skipped in plain words."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(TOOLCHAINS)}; default: all")
    wanted = parser.parse_args(arguments).languages or list(TOOLCHAINS)
    if unknown := [name for name in wanted if name not in TOOLCHAINS]:
        parser.error(f"no such language: {unknown[0]}; allowed: {', '.join(TOOLCHAINS)}")
    with tempfile.TemporaryDirectory(prefix="aldea-clients-") as folder:
        ready = [name for name in wanted if _installed(name, Path(folder) / name)]
        if not ready:
            return 0
        box = start_box(Path(folder) / "box")
        try:
            box.wait_ready()
            failed = [
                client
                for name in ready
                for client, command in TOOLCHAINS[name].clients.items()
                if not _right(client, command, Path(folder) / name, box)
            ]
        finally:
            box.end()
    print(f"clients: {'failed: ' + ', '.join(failed) if failed else 'every client has the words and the bill'}")
    return 1 if failed else 0


def _installed(name: str, folder: Path) -> bool:
    toolchain = TOOLCHAINS[name]
    if missing := [tool for tool in toolchain.tools if shutil.which(tool) is None]:
        print(f"skipped {name}: {', '.join(missing)} is not installed here")
        return False
    shutil.copytree(HERE / name, folder)
    (folder / "sample.wav").write_bytes(wav())
    if not toolchain.install:
        return True
    print(f"{name}: installing its clients")
    try:
        done = subprocess.run(
            toolchain.install,
            cwd=folder,
            env={**os.environ, **KEPT},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"skipped {name}: its packages did not come within {INSTALL_SECONDS} s")
        return False
    if done.returncode != 0:
        print(f"skipped {name}: its packages cannot be installed here: {(done.stderr or done.stdout)[-500:]}")
        return False
    return True


def _right(client: str, command: tuple[str, ...], folder: Path, box: Box) -> bool:
    if command[0].startswith("{"):
        print(f"{client}: installing it")
        try:
            command = (str(python_with((command[0].strip("{}"),))), *command[1:])
        except NotInstalled as reason:
            print(f"skipped {client}: {reason}")
            return True
    environment = {**os.environ, **KEPT, "ALDEA_URL": box.http, "ALDEA_KEY": box.key}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"FAIL {client}: no end within {RUN_SECONDS} s")
        return False
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not found:
        print(f"FAIL {client}: status {done.returncode}\n{done.stderr[-1000:]}")
        return False
    faults = [fault for one in found if (fault := _fault(one, box))]
    wires = ", ".join(one["wire"] for one in found)
    print(f"FAIL {client}: {'; '.join(faults)}" if faults else f"ok   {client}: {wires}")
    return not faults


def _fault(one: Mapping[str, str], box: Box) -> str:
    """What is wrong with a line that a client printed. Some have no transcript, and some clients show no id."""
    if "transcript" in one and (rate := word_error_rate(SENTENCE, one["transcript"])) > MAX_WORD_ERROR_RATE:
        return f"{one['wire']}: the word error rate is {rate:.2f} ({one['transcript']!r})"
    if "request_id" not in one:
        return ""
    row = asyncio.run(final_usage_row(box.state["database_url"], one["request_id"]))
    if row["audio_ms"] != SENTENCE_MS:
        return f"{one['wire']}: {row['audio_ms']} ms are billed, {SENTENCE_MS} were sent"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
