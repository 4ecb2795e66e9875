"""A real Prometheus, where installed, scrapes the services' registries, loads the rules and runs every query."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from aldea.metrics import exposition_app
from onebox.observe.dashboards import DASHBOARDS, PROMETHEUS
from onebox.observe.drawn import FOLDER
from onebox.observe.panels import models, span
from onebox.observe.rules import alerts
from onebox.observe.sources import Sources
from onebox.observe.units import prometheus
from onebox.ports import free_port
from onebox.process import Process
from tests.unit.onebox.observe.test_metric_names import series
from ws_proxy import metrics

DEADLINE = 90.0


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (a package of Debian)")
async def test_prometheus_takes_the_rules_and_runs_every_query_of_the_dashboards(tmp_path: Path) -> None:
    series()  # every module with metrics is loaded
    metrics.ACTIVE_STREAMS.set(3)
    port = free_port()
    async with TestServer(exposition_app()) as server, ClientSession(f"http://127.0.0.1:{port}") as session:

        async def query(expression: str) -> list[Any]:
            async with session.get("/api/v1/query", params={"query": expression}) as response:
                body = await response.json()
            assert body["status"] == "success", f"{expression}: {body}"
            result: list[Any] = body["data"]["result"]
            return result

        spec = prometheus(tmp_path, port, {"ws_proxy": f"127.0.0.1:{server.port}"}, "live1")
        process = Process(spec, tmp_path / "prometheus.log").start()
        try:
            async with asyncio.timeout(DEADLINE):
                while not (found := await query('sum by (lane, service) (aldea_active_streams{job="aldea"})')):
                    await asyncio.sleep(0.2)
            assert found[0]["metric"] == {"lane": "live1", "service": "ws_proxy"}
            for dashboard in DASHBOARDS:
                for panel in dashboard.panels:
                    for expression in () if panel.sql else panel.queries.values():
                        await query(expression.replace("$lane", ".*"))
            # The page of `make observe` draws the same.
            sources = Sources(session, "", "")
            over = span("now-1h", time.time())
            for model in models(FOLDER).values():
                for panel in model["panels"]:
                    if panel["datasource"] == PROMETHEUS:
                        drawn = await sources.panel(panel, {"lane": ".*"}, over)
                        assert "error" not in drawn, f"{panel['title']}: {drawn}"
            assert await sources.options(models(FOLDER)["lane"]["templating"]["list"][0]) == [("live1", "live1")]
            async with session.get("/api/v1/rules") as response:
                groups = (await response.json())["data"]["groups"]
            loaded = {rule["name"] for group in groups for rule in group["rules"]}
            assert {alert.name for alert in alerts()} <= loaded
            assert not [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
        finally:
            await asyncio.to_thread(process.stop)
