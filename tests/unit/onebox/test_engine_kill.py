import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from onebox import engine_kill
from onebox.engine_kill import EngineKill, Engines, Failover, NoFailover


def results(words: str, *, final: bool) -> dict[str, Any]:
    return {"type": "Results", "is_final": final, "channel": {"alternatives": [{"transcript": words}]}}


class Stage:
    """Two engines, of which the second has the stream; what was killed and said."""

    def __init__(self, urls: dict[str, str], log: Path) -> None:
        self.log = log
        self.killed: list[str] = []
        self.said: list[str] = []
        self.shown: list[dict[str, Any]] = []
        log.write_text(self.line("stream goes on", "r", upstream="of an earlier run", gap_ms=1))
        self.kill = EngineKill(Engines(urls, "token", self._kill, log), self.shown.append, self.said.append)

    def _kill(self, name: str) -> int:
        self.killed.append(name)
        return 77

    @staticmethod
    def line(event: str, request_id: str, **fields: Any) -> str:
        return json.dumps({"event": event, "request_id": request_id, **fields}) + "\n"


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async def stats(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Token token"
        return web.json_response({"used": int(request.url.port == second.port)})

    apps = [web.Application() for _ in range(2)]
    for app in apps:
        app.router.add_get("/stats", stats)
    async with TestServer(apps[0]) as first, TestServer(apps[1]) as second:
        urls = {name: f"http://127.0.0.1:{server.port}" for name, server in (("one", first), ("two", second))}
        yield Stage(urls, folder / "ws_proxy.log")


async def test_the_engine_that_has_the_stream_is_killed_once_and_behind_final_words(tmp_path: Path) -> None:
    async with stage(tmp_path) as on, asyncio.timeout(60):
        async with on.kill.watching():
            # Messages of a stream; the engine that has it becomes known at some time.
            while not on.killed:
                for message in (results("no", final=False), results("", final=True), {"type": "Metadata"}):
                    on.kill(message)
                assert not on.killed
                on.kill(results("words", final=True))
                await asyncio.sleep(0)
            on.kill(results("more words", final=True))
        assert on.killed == ["two"]
        assert on.shown[-1] == results("more words", final=True)
        assert "two (process 77)" in on.said[0]


async def test_how_it_went_on_is_what_ws_proxy_logged_of_this_stream(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.kill._killed = "two", 77
        server = on.kill._engines.urls["one"].removeprefix("http://")
        with on.log.open("a") as log:
            log.write("not JSON r\n")
            log.write(on.line("stream failed over", "other", upstream="x", replayed_ms=9))
            log.write(on.line("stream failed over", "r", upstream=server, replayed_ms=2080))
            log.write(on.line("stream goes on", "r", upstream=server, gap_ms=442))
        assert await on.kill.outcome("r") == Failover("two", 77, "one", 442, 2080)


async def test_a_stream_that_did_not_go_on_is_said_to_have_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_kill, "_LOG_SECONDS", 0.01)
    async with stage(tmp_path) as on:
        with pytest.raises(NoFailover, match="No STT server was killed"):
            await on.kill.outcome("r")
        on.kill._killed = "two", 77
        with pytest.raises(NoFailover, match="has not logged"):
            await on.kill.outcome("r")
