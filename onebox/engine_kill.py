"""The demo's fault: the STT server that has the stream is killed, and its words go on at the other one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from aldea.canary.client import OnMessage, words
from aldea.tasks import cancel, spawn

# Between two looks at which STT server has the stream, and at whether ws_proxy has written how it went on.
_LOOK_SECONDS: Final = 0.1
_STATS_SECONDS: Final = 2.0
# The stream has ended by then; its log line has only to come through the supervisor's pipe.
_LOG_SECONDS: Final = 5.0


class NoFailover(RuntimeError):
    """The stream did not go to another STT server; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Failover:
    """How a stream went on, as ws_proxy logged it.

    `gap_ms`: from the killed server's last message, or its loss, to the other one's first. `replayed_ms`: audio that
    was sent again.
    """

    killed: str
    pid: int
    went_on_at: str
    gap_ms: int
    replayed_ms: int


@dataclass(frozen=True, slots=True)
class Engines:
    """What can be killed. `urls`: of the STT servers, by name. `kill`: kills one of them, returns its process id.

    `log`: ws_proxy's log file.
    """

    urls: Mapping[str, str]
    token: str
    kill: Callable[[str], int]
    log: Path


class EngineKill:
    """Watches one stream: kills the STT server that has it behind its first final words."""

    def __init__(self, engines: Engines, show: OnMessage, say: Callable[[str], None]) -> None:
        """`show`: gets every message first. `say`: prints a line."""
        self._engines = engines
        self._show = show
        self._say = say
        self._serving: str | None = None
        self._killed: tuple[str, int] | None = None
        # What earlier streams of this folder left in the log is not read.
        self._log_begin = engines.log.stat().st_size if engines.log.exists() else 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Around the stream."""
        looking = spawn(self._find(), name="find-the-streams-server")
        try:
            yield
        finally:
            await cancel(looking)

    def __call__(self, message: dict[str, Any]) -> None:
        """The stream's next message."""
        self._show(message)
        if self._killed is None and self._serving is not None and message.get("is_final") and words(message):
            pid = self._engines.kill(self._serving)
            self._killed = self._serving, pid
            self._say(f"  … {self._serving} (process {pid}), which said this, is killed now; the stream stays open …")

    async def _find(self) -> None:
        headers = {"Authorization": f"Token {self._engines.token}"}
        deadline = aiohttp.ClientTimeout(total=_STATS_SECONDS)
        async with aiohttp.ClientSession(headers=headers, timeout=deadline) as session:
            while self._serving is None:
                for name, url in self._engines.urls.items():
                    with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                        async with session.get(f"{url}/stats") as response:
                            if (await response.json()).get("used"):
                                self._serving = name
                                break
                await asyncio.sleep(_LOOK_SECONDS)

    async def outcome(self, request_id: str) -> Failover:
        """How the stream went on. Raises NoFailover."""
        if self._killed is None:
            raise NoFailover("No STT server was killed: the stream had no final words while one was seen to serve it.")
        said: dict[str, dict[str, Any]] = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOG_SECONDS):
                while not {"stream failed over", "stream goes on"} <= said.keys():
                    await asyncio.sleep(_LOOK_SECONDS)
                    said = await asyncio.to_thread(self._logged, request_id)
        if "stream goes on" not in said:
            raise NoFailover(f"ws_proxy has not logged that the stream went on; see {self._engines.log}.")
        names = {url.removeprefix("http://"): name for name, url in self._engines.urls.items()}
        server = str(said["stream goes on"]["upstream"])
        name, pid = self._killed
        return Failover(
            killed=name,
            pid=pid,
            went_on_at=names.get(server, server),
            gap_ms=said["stream goes on"]["gap_ms"],
            replayed_ms=said["stream failed over"]["replayed_ms"],
        )

    def _logged(self, request_id: str) -> dict[str, dict[str, Any]]:
        """The lines of this request that ws_proxy has logged, by what they are of."""
        with self._engines.log.open("rb") as file:
            file.seek(self._log_begin)
            lines = [line for line in file if request_id.encode() in line]
        found = {}
        for line in lines:
            with suppress(ValueError):
                record = json.loads(line)
                found[str(record.get("event"))] = record
        return found
