"""The application's wiring that needs no store."""

from aldea.settings import read
from http_proxy.app import PATHS, make_app
from http_proxy.settings import HttpProxySettings


def test_every_path_takes_a_post_and_a_preflight() -> None:
    app = make_app(read(HttpProxySettings, redis_url="redis://localhost", stt_upstreams="http://stt:8800"))
    routes = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    for path in PATHS:
        assert {
            ("POST", path.replace("{rest:.*}", "{rest}")),
            ("OPTIONS", path.replace("{rest:.*}", "{rest}")),
        } <= routes
