"""The onebox's folder: its lock, the ports it remembers, its logs, secrets and state, all surviving restarts."""

import errno
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from onebox.ports import LAST_PORT, free_port, port_is_free, why_not_free

ROOT: Final = Path(__file__).resolve().parents[1]
DEFAULT_HOME: Final = ROOT / ".onebox"

# The one port that people type; every other one may move if it is taken.
BALANCER: Final = "balancer"
DEFAULT_PORTS: Final = {
    BALANCER: 8080,
    "ws_proxy": 8101,
    "http_proxy": 8102,
    "backend": 8103,
    "frontend": 8104,
    "sqs_updater": 8105,
    "redis": 8110,
    "postgres": 8111,
    "sqs": 8112,
    "stt_api": 8800,
    "stt_api-2": 8801,
    "observe": 8106,
    "prometheus": 8113,
    "grafana": 8114,
    **{
        f"{name}-metrics": 9101 + number
        for number, name in enumerate(("ws_proxy", "http_proxy", "backend", "frontend", "sqs_updater", "stt_api"))
    },
}

_PRIVATE: Final = 0o600


class AlreadyRunning(RuntimeError):
    """Another onebox uses this folder; the message says which process and where it serves."""


class PortTaken(RuntimeError):
    """The requested port cannot be had; the message says why and what to do."""


class Home:
    """One onebox's folder. Holding its lock means being the only onebox that uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self.logs = self.path / "logs"
        self.logs.mkdir(exist_ok=True)
        self._lock: IO[str] | None = None
        self._python: IO[str] | None = None

    def lock(self) -> None:
        """Take the folder for this process, until it ends. Raises AlreadyRunning."""
        file = (self.path / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            address = self.state().get("address")
            where = f" and serves on {address}" if address else " and is just starting"
            raise AlreadyRunning(
                f"The onebox is running already: process {holder} uses {self.path}{where}. "
                f"Stop it with Ctrl-C in its terminal or with `kill {holder}`."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock = file  # closing it would give the lock up
        # `make clean` looks at the usual folder's lock, and at this one before it removes the interpreter's folder.
        with suppress(OSError):
            self._python = (Path(sys.prefix) / "pyvenv.cfg").open()
            fcntl.flock(self._python, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def unlock(self) -> None:
        """Give the folder up."""
        for file in (self._lock, self._python):
            if file is not None:
                file.close()
        self._lock = self._python = None

    def running_pid(self) -> int | None:
        """The process that holds the lock now, None if none does."""
        with suppress(FileNotFoundError), (self.path / "lock").open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0)
        return None

    def ports(self, names: Iterable[str], balancer: int | None) -> dict[str, int]:
        """A free port for each of `names`: the one used last time, else its default, else any.

        `balancer`: the port of the balancer, None for the usual one, 0 for any free port here and for all others
        (defaults are then left to others). Raises PortTaken if the balancer's is not free: people rely on it.
        """
        remembered = _read_json(self.path / "ports.json")
        chosen: dict[str, int] = {}
        for name in names:
            if name == BALANCER and balancer != 0:
                port = balancer or remembered.get(name) or DEFAULT_PORTS[name]
                if (error := why_not_free(port)) is not None:
                    raise PortTaken(port_message(port, error))
                chosen[name] = port
                continue
            wishes = [remembered.get(name), *([DEFAULT_PORTS[name]] if balancer != 0 else [])]
            usable = [wish for wish in wishes if wish and wish not in chosen.values() and port_is_free(wish)]
            chosen[name] = usable[0] if usable else _another_port(chosen.values())
        self._write("ports.json", {**remembered, **chosen})
        return chosen

    def secret(self, name: str) -> str:
        """A random text made at the first call and kept, readable by its owner alone."""
        path = self.path / f"{name}.secret"
        if not path.exists():
            private_file(path, secrets.token_urlsafe(24))
        return path.read_text().strip()

    def state(self) -> dict[str, Any]:
        """What the running onebox wrote about itself: empty while none has become ready."""
        return _read_json(self.path / "state.json")

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Say what runs and where, for `status`, a second start, and tests."""
        self._write("state.json", state)

    def clear_state(self) -> None:
        """Nothing runs any more."""
        (self.path / "state.json").unlink(missing_ok=True)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        private_file(self.path / name, json.dumps(content, indent=2) + "\n")


def port_message(port: int, error: OSError) -> str:
    """Why this port cannot be had, who uses it if that can be seen, and what to do."""
    another = f"ONEBOX_PORT={_free_port_above(port)} make run"
    if error.errno == errno.EACCES:
        return f"Port {port} is for root alone on this system (permission denied). Choose another port: {another}"
    if error.errno != errno.EADDRINUSE:
        return f"Port {port} cannot be used: {error.strerror}. Choose another port: {another}"
    return (
        f"Port {port} is taken by {_user_of(port) or 'another program'}. Stop that, or choose another port: {another}"
    )


def _free_port_above(port: int) -> int:
    """One to suggest: near the one that was wanted, and free now."""
    wishes = (wish for wish in (port + 10, port + 20, 8090, 8190) if 1024 <= wish <= LAST_PORT)
    return next((wish for wish in wishes if port_is_free(wish)), None) or free_port()


def _user_of(port: int) -> str | None:
    import psutil  # noqa: PLC0415 - needed only to explain a failure

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return None


def _another_port(taken: Iterable[int]) -> int:
    used = {*taken, *DEFAULT_PORTS.values()}
    while (port := free_port()) in used:
        pass
    return port


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def private_file(path: Path, text: str) -> None:
    """Replace a file at once, so that no reader sees half of it, readable by its owner alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w") as file:
        file.write(text)
    new.replace(path)
