"""The emulator that the onebox uses, with stand-ins for what it lacks (onebox.aws), as a process of its own."""

import http.client
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from aldea_infra.rehearsal.engine import Missing

SECONDS_TO_START: Final = 60.0
SECONDS_TO_END: Final = 30.0
ROOT: Final = Path(__file__).resolve().parents[3]


@contextmanager
def emulator(log: Path) -> Iterator[str]:
    """Its URL, while it runs. Raises Missing if it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as said:
        process = subprocess.Popen([sys.executable, "-m", "onebox.aws", str(port)], cwd=ROOT, stdout=said, stderr=said)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        with (
            suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=1),  # noqa: S310 - our own http URL
        ):
            return
        time.sleep(0.1)
    raise Missing(f"the emulator does not start: {log.read_text()[-500:]}")
