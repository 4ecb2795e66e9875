"""A onebox in a process of its own, as a person starts it: on free ports, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from websockets.exceptions import WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from onebox.home import ROOT
from onebox.stores import http_ok
from onebox.units import PYTHONPATH

SAMPLE = ROOT / "onebox" / "samples" / "speech.wav"
SAMPLE_MS = 18_725

# Whatever a developer's shell says, the tests run what is embedded.
_NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "SQS_ENDPOINT_URL", "STT_UPSTREAMS", "ONEBOX_PORT", "PORT")
_START_SECONDS = 120.0
_STOP_SECONDS = 120.0
# Those that say whether they are ready, where they run.
_READY = ("ws_proxy", "http_proxy", "backend", "frontend", "stt_api")


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**kept, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", **extra}


@dataclass
class Box:
    """A onebox that was started by its own command."""

    data: Path
    process: "subprocess.Popen[bytes]"
    output: Path
    family: dict[int, psutil.Process] = field(default_factory=dict)
    _killed: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.data / "state.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        # A killed onebox leaves its state behind; only this one's own counts.
        return found if found.get("pid") == self.process.pid else {}

    @property
    def said(self) -> str:
        return self.output.read_text()

    def errors(self) -> list[str]:
        """What its services logged as errors."""
        lines = [line for log in self.data.glob("logs/*.log") for line in log.read_text().splitlines()]
        return [line for line in lines if '"level": "error"' in line]

    def refused_by_redis(self) -> list[str]:
        """What its Redis refused to a service for lack of a right, as the server logged it."""
        password = (self.data / "redis.secret").read_text().strip()
        with redis.Redis(port=self.state["ports"]["redis"], password=password) as client:
            found = client.acl_log()
        # The client library says its own name and version, and takes a refusal of that.
        refused = [each for each in found if each["object"] not in {"client", "client|setinfo"}]
        return [f"{each['username']}: {each['reason']} {each['object']}" for each in refused]

    @property
    def port(self) -> int:
        port: int = self.state["ports"]["balancer"]
        return port

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data / "demo.key").read_text().strip()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self.state:
            assert self.process.poll() is None, f"it ended while starting:\n{self.said}"
            assert time.monotonic() < deadline, f"not ready in time:\n{self.said}"
            time.sleep(0.05)
        self.remember_family()

    def kill(self, service: str) -> None:
        """Kill a service. `wait_back` follows before anything else uses this onebox."""
        self._killed[service] = self.state["pids"][service]
        os.kill(self._killed[service], signal.SIGKILL)

    def wait_back(self, service: str) -> None:
        """Wait until a service that was killed runs again, and the platform serves with it what the next test needs.

        That is: every service is ready, and a stream is admitted and served to its end.
        """
        before = self._killed.pop(service)
        deadline = time.monotonic() + _START_SECONDS
        while self.state.get("pids", {}).get(service, before) == before or not self._serves():
            assert time.monotonic() < deadline, f"{service} is not back in time:\n{self.said}"
            time.sleep(0.05)
        self.remember_family()

    def _serves(self) -> bool:
        ports = self.state["ports"]
        if not all(http_ok(f"http://127.0.0.1:{ports[name]}/readyz") for name in self.state["pids"] if name in _READY):
            return False
        # No test tells this stream from its own: it is without audio.
        offered = [Subprotocol("token"), Subprotocol(self.key)]
        try:
            with connect(f"{self.ws}/v1/listen/pcm?sample_rate=16000", subprotocols=offered) as socket:
                socket.send('{"type":"CloseStream"}')
                for _message in socket:
                    pass
                return socket.protocol.close_code == CloseCode.NORMAL_CLOSURE
        except (OSError, WebSocketException):
            return False

    def remember_family(self) -> None:
        """All processes that belong to it now, to be looked for when it has stopped."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self.family.setdefault(child.pid, child)

    def left_behind(self) -> list[str]:
        """Members of the family that still run."""
        return [
            " ".join(child.cmdline())
            for child in self.family.values()
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        ]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal and wait for its end; its exit status."""
        if self.process.poll() is None:
            self.remember_family()
            self.process.send_signal(number)
        try:
            return self.process.wait(_STOP_SECONDS + 2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it did not end within {_STOP_SECONDS:g} s:\n{self.said}")


StartBox = Callable[..., Box]


def start_box(data: Path, *arguments: str, port: int = 0, **extra: str) -> Box:
    arguments = arguments or ("run", "--no-demo")
    data.mkdir(parents=True, exist_ok=True)
    output = data.with_name(f"{data.name}.output")
    with output.open("ab") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "onebox",
                "--data",
                str(data),
                *(arguments or ("run", "--no-demo")),
                "--port",
                str(port),
            ],
            env=environment(**extra),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    return Box(data, process, output)


def run_once(arguments: Sequence[str], timeout: float = 120.0, **extra: str) -> "subprocess.CompletedProcess[str]":
    """Run one of the platform's own programs to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**extra),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
