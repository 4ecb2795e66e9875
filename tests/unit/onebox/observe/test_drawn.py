from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from onebox.observe import panels
from onebox.observe.drawn import FOLDER
from onebox.observe.page import History, make_app
from onebox.observe.panels import Span
from onebox.observe.sources import SourceFailed, Sources

Client = TestClient[web.Request, web.Application]
NAMES = ("customer", "lane", "money", "platform", "usage")


class Staged(Sources):
    """Sources without a Prometheus and a database."""

    def __init__(self) -> None:
        self.down = False
        self.drawn: list[tuple[str, dict[str, str], Span]] = []

    async def options(self, variable: Mapping[str, Any]) -> list[tuple[str, str]]:
        if self.down:
            raise SourceFailed("Prometheus: <down>")
        return [("live1", "<b>lane & more</b>")]

    async def panel(self, panel: Mapping[str, Any], values: Mapping[str, str], over: Span) -> dict[str, Any]:
        self.drawn.append((panel["title"], dict(values), over))
        return panels.drawn([("x", {})], over.times)


@pytest.fixture
def sources() -> Staged:
    return Staged()


@pytest.fixture
async def client(sources: Staged) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(History(), sources))) as found:
        yield found


async def test_with_a_prometheus_the_page_is_the_dashboards(client: Client) -> None:
    async with client.get("/") as response:
        assert response.url.path == "/dashboards/platform"
        text = await response.text()
    assert all(f'href="/dashboards/{name}"' in text for name in NAMES)
    assert (await client.get("/data")).status == 404
    assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize("name", NAMES)
async def test_each_shipped_panel_is_on_its_page_and_in_its_data(client: Client, sources: Staged, name: str) -> None:
    model = panels.models(FOLDER)[name]
    page = await (await client.get(f"/dashboards/{name}")).text()
    assert model["title"] in page
    data = await (await client.get(f"/dashboards/{name}/data?from=now-15m")).json()
    assert set(data["panels"]) == {str(panel["id"]) for panel in model["panels"]}
    assert [title for title, _, _ in sources.drawn] == [panel["title"] for panel in model["panels"]]
    assert data["range"][1] - data["range"][0] == 900


async def test_a_variable_is_chosen_on_the_page_and_its_texts_are_text(client: Client, sources: Staged) -> None:
    page = await (await client.get("/dashboards/lane?lane=live1&from=now-15m")).text()
    assert '<option value="live1" selected>&lt;b&gt;lane &amp; more&lt;/b&gt;</option>' in page
    assert '<input type="hidden" name="from" value="now-15m">' in page
    await client.get("/dashboards/lane/data?lane=live1")
    assert sources.drawn[0][1] == {"lane": "live1"}


@pytest.mark.parametrize("query", ["lane=other", "from=yesterday", "from=<script>"])
@pytest.mark.parametrize("path", ["", "/data"])
async def test_what_cannot_be_drawn_is_refused_in_a_line(client: Client, path: str, query: str) -> None:
    async with client.get(f"/dashboards/lane{path}?{query}") as response:
        assert response.status == 400
        assert response.content_type == "text/plain"
        assert "got" in await response.text()


async def test_an_unknown_dashboard_is_404_and_a_source_that_is_down_is_said(client: Client, sources: Staged) -> None:
    assert (await client.get("/dashboards/other")).status == 404
    sources.down = True
    assert "Prometheus: &lt;down&gt;" in await (await client.get("/dashboards/lane")).text()
    assert (await client.get("/dashboards/lane/data")).status == 502
