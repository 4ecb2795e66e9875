"""The application's wiring that needs no store."""

import pytest

from aldea.settings import read
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from http_proxy.app import PATHS, _some_server, make_app
from http_proxy.settings import HttpProxySettings


def test_every_path_takes_a_post_and_a_preflight() -> None:
    app = make_app(read(HttpProxySettings, redis_url="redis://localhost", stt_upstreams="http://stt:8800"))
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    for path in PATHS:
        assert {
            ("POST", path.replace("{rest:.*}", "{rest}")),
            ("OPTIONS", path.replace("{rest:.*}", "{rest}")),
        } <= routes


async def test_readiness_needs_one_server_whose_circuit_is_closed() -> None:
    upstreams = Upstreams(["http://stt:8800"])
    await _some_server(upstreams)
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(upstreams.servers[0], "refused")
    with pytest.raises(ConnectionError):
        await _some_server(upstreams)
