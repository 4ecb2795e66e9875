from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from onebox.observe.figures import GRAPHS
from onebox.observe.page import KEPT, History, make_app, scrape

TEXT = "# TYPE aldea_active_streams gauge\naldea_active_streams 4\n"


async def test_the_page_draws_each_graph_with_the_vendored_library_and_reads_its_data() -> None:
    history = History()
    async with TestClient(TestServer(make_app(history))) as client:
        page = await (await client.get("/")).text()
        assert all(graph.title in page for graph in GRAPHS)
        assert (await client.get("/uplot/uPlot.iife.min.js")).status == 200
        assert (await client.get("/healthz")).status == 200
        assert await (await client.get("/data")).json() == history.columns()


async def test_what_services_say_is_put_together_and_one_that_is_down_says_nothing() -> None:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=TEXT)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with TestServer(app) as server, ClientSession() as session:
        url = str(server.make_url("/metrics"))
        down = {"backend": "http://127.0.0.1:1/metrics"}
        found = await scrape(session, {"ws_proxy": url, "http_proxy": url, **down})
    history = History()
    for at in range(KEPT + 50):
        history.add(float(at), found)
    columns = history.columns()
    assert columns[1][-1] == 8
    assert {len(column) for column in columns} == {KEPT}
    assert len(columns) == 1 + sum(len(graph.lines) for graph in GRAPHS)
