from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from onebox.observe.dashboards import POSTGRES, PROMETHEUS
from onebox.observe.panels import span
from onebox.observe.sources import SourceFailed, Sources

OVER = span("now-1h", 7200)
PANEL: dict[str, Any] = {
    "datasource": PROMETHEUS,
    "type": "timeseries",
    "targets": [{"expr": 'up{lane=~"$lane"}', "legendFormat": "{{lane}}"}],
}
# Nothing listens there.
NOWHERE = "http://127.0.0.1:1"


class Prometheus:
    def __init__(self) -> None:
        self.queries: list[str] = []
        self.faulty = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v1/query_range", self._range)
        app.router.add_get("/api/v1/label/lane/values", self._values)
        return app

    async def _range(self, request: web.Request) -> web.Response:
        self.queries.append(request.query["query"])
        if self.faulty:
            return web.json_response({"status": "error", "error": "parse error"}, status=400)
        series = {"metric": {"lane": "live1"}, "values": [[OVER.since, "3"]]}
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": [series]}})

    async def _values(self, request: web.Request) -> web.Response:
        assert request.query["match[]"] == "up"
        return web.json_response({"status": "success", "data": ["live1"]})


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus()


@pytest.fixture
async def sources(prometheus: Prometheus) -> AsyncIterator[Sources]:
    async with TestServer(prometheus.app()) as server, ClientSession() as session:
        yield Sources(session, str(server.make_url("")).rstrip("/"), "postgresql://nobody@127.0.0.1:1/none")


async def test_a_panel_of_prometheus_is_drawn_with_its_variables(sources: Sources, prometheus: Prometheus) -> None:
    found = await sources.panel(PANEL, {"lane": ".*"}, OVER)
    assert prometheus.queries == ['up{lane=~".*"}']
    assert found["labels"] == ["live1"]
    assert found["columns"][1][0] == 3.0


async def test_a_label_lists_its_values(sources: Sources) -> None:
    variable = {"datasource": PROMETHEUS, "query": {"query": "label_values(up, lane)"}}
    assert await sources.options(variable) == [("live1", "live1")]


async def test_a_source_that_fails_is_named_in_its_panel(sources: Sources, prometheus: Prometheus) -> None:
    prometheus.faulty = True
    assert await sources.panel(PANEL, {"lane": ".*"}, OVER) == {"error": "Prometheus: parse error"}
    of_rows = {"datasource": POSTGRES, "type": "table", "targets": [{"rawSql": "select 1"}]}
    assert (await sources.panel(of_rows, {}, OVER))["error"].startswith("PostgreSQL: ")
    async with ClientSession() as session:
        with pytest.raises(SourceFailed, match="Prometheus: "):
            await Sources(session, NOWHERE, "").options(
                {"datasource": PROMETHEUS, "query": {"query": "label_values(up, lane)"}}
            )


async def test_a_statement_whose_variable_has_no_value_yet_is_not_run(sources: Sources) -> None:
    of_rows = {"datasource": POSTGRES, "type": "timeseries", "targets": [{"rawSql": "select '$project'::uuid"}]}
    assert await sources.panel(of_rows, {"project": ""}, OVER) == {"labels": [], "columns": [[]]}
