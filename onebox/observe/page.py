"""The onebox's own page of figures, drawn with uPlot.

Where Prometheus runs: the shipped dashboards (onebox.observe.drawn). Else an hour of the
services' /metrics.
"""

import asyncio
import json
import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from pydantic import Field, SecretStr

from aldea import log as logs
from aldea.settings import ServiceSettings, read_or_exit
from aldea.tasks import cancel, spawn
from onebox.home import ROOT
from onebox.observe.drawn import add_routes
from onebox.observe.figures import GRAPHS, Samples, figures, samples
from onebox.observe.sources import Sources

log = structlog.get_logger("onebox.observe")

EVERY_SECONDS: Final = 2.0
KEPT: Final = 1800  # an hour
# Rates and percentiles are of the last minute.
WINDOW: Final = 30
_SCRAPE_SECONDS: Final = 2.0
_QUERY_SECONDS: Final = 10.0
_UPLOT: Final = ROOT / "services" / "frontend" / "static" / "vendor" / "uplot"
_PAGE: Final = ROOT / "onebox" / "observe" / "page.html"


class PageSettings(ServiceSettings):
    """`targets`: the address of each service's /metrics, by its name."""

    targets: dict[str, str] = Field(description="the addresses of /metrics by service, as JSON")
    prometheus_url: str | None = Field(None, description="a Prometheus that scrapes them; then dashboards are drawn")
    database_url: SecretStr = Field(SecretStr(""), description="the database that the dashboards read, with it")


class History:
    """The figures of the last hour, in the form that uPlot takes: times, then the values of each line."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Samples]] = deque(maxlen=WINDOW + 1)
        self._rows: deque[tuple[float, list[float | None]]] = deque(maxlen=KEPT)

    def add(self, at: float, found: Samples) -> None:
        """What was scraped at a Unix time."""
        if self._seen:
            then, before = self._seen[0]
            self._rows.append((at, figures(before, found, max(at - then, 0.001))))
        self._seen.append((at, found))

    def columns(self) -> list[list[float | None]]:
        """Times, then a column for each line."""
        times: list[float | None] = [at for at, _ in self._rows]
        count = sum(len(graph.lines) for graph in GRAPHS)
        return [times, *([row[line] for _, row in self._rows] for line in range(count))]


async def scrape(session: ClientSession, targets: Mapping[str, str]) -> Samples:
    """What all services say now; one that does not respond says nothing."""

    async def one(service: str, url: str) -> Samples:
        try:
            async with session.get(url) as response:
                return samples(await response.text(), service)
        except (ClientError, TimeoutError, OSError, ValueError):
            return {}

    found = await asyncio.gather(*(one(service, url) for service, url in targets.items()))
    return {key: value for each in found for key, value in each.items()}


async def follow(history: History, targets: Mapping[str, str]) -> None:
    """Scrape for ever."""
    loop = asyncio.get_running_loop()
    async with ClientSession(timeout=ClientTimeout(total=_SCRAPE_SECONDS)) as session:
        while True:
            due = loop.time() + EVERY_SECONDS
            history.add(time.time(), await scrape(session, targets))
            await asyncio.sleep(max(0.0, due - loop.time()))


def make_app(history: History, sources: Sources | None = None) -> web.Application:
    """The page, its script and its data; with `sources` the dashboards."""

    async def page(_request: web.Request) -> web.Response:
        graphs = json.dumps([asdict(graph) for graph in GRAPHS])
        return web.Response(text=_PAGE.read_text().replace("GRAPHS", graphs), content_type="text/html")

    async def data(_request: web.Request) -> web.Response:
        return web.json_response(history.columns())

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    if sources is not None:
        add_routes(app, sources)
    else:
        app.router.add_get("/", page)
        app.router.add_get("/data", data)
    app.router.add_get("/healthz", healthy)
    app.router.add_static("/uplot", _UPLOT)
    return app


async def serve(settings: PageSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    history = History()
    async with AsyncExitStack() as stack:
        sources = None
        if settings.prometheus_url is not None:
            session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(total=_QUERY_SECONDS)))
            sources = Sources(session, settings.prometheus_url, settings.database_url.get_secret_value())
        else:
            following = spawn(follow(history, settings.targets), name="scrape")
            stack.push_async_callback(cancel, following)
        runner = web.AppRunner(make_app(history, sources), access_log=None)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, settings.bind_host, settings.port).start()
        log.info("serving", host=settings.bind_host, port=settings.port)
        await stop.wait()


def main() -> None:
    """Run the page."""
    settings = read_or_exit("observe", PageSettings)
    logs.configure("observe", settings.log_level, settings.environment)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
