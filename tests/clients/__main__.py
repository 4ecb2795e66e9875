"""Run each client against a onebox of its own: the same words, and the same bill, through every one of them."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.clients.judged import judged
from tests.clients.python_environment import FOLDER, NotInstalled
from tests.e2e.box import Box, start_box
from tests.e2e.test_recorded import SENTENCE, wav

HERE: Final = Path(__file__).parent
INSTALL_SECONDS: Final = 1800  # Rust compiles everything, once
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
    # A list of requirements/ in braces, and a program.
    "python": Toolchain(
        (), (),
        {
            "deepgram-sdk 3": ("{clients_sdk_3}", "deepgram34.py"),
            "deepgram-sdk 4": ("{clients_sdk_4}", "deepgram34.py"),
            "deepgram-sdk 5": ("{clients_sdk_5}", "deepgram56.py"),
            "deepgram-sdk 6": ("{clients_sdk_6}", "deepgram56.py"),
            "deepgram-captions": ("{clients}", "deepgram_caption.py"),
            "deepctl": ("{clients}", "deepctl_commands.py"),
            "livekit-plugins-deepgram": ("{clients}", "livekit_stt.py"),
            "pipecat-ai": ("{clients}", "pipecat_stt.py", SENTENCE.split()[-1].strip(".")),
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
    try:
        wires, faults = asyncio.run(judged(command, folder, box, KEPT))
    except NotInstalled as reason:
        print(f"skipped {client}: {reason}")
        return True
    print(f"FAIL {client}: {'; '.join(faults)}" if faults else f"ok   {client}: {', '.join(wires)}", flush=True)
    return not faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
