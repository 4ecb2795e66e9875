from typing import Any

from aldea.tracing.context import Context
from aldea.tracing.trace import Trace
from aldea.upstream import Upstreams, to_server
from tests.unit.aldea.tracing.test_spans import CONTEXT, Noted


def test_a_request_to_a_server_names_the_server_and_nothing_of_the_customers() -> None:
    said: list[Any] = []
    server = Upstreams(["http://stt:8800"]).servers[0]
    with to_server(Trace(CONTEXT, Noted(said)), "GET", "/v1/listen", server) as span:
        assert span is not None
        assert isinstance(span.context, Context)
    name, _, attributes, _ = said[0]
    assert name == "GET /v1/listen"
    assert attributes == {
        "http.request.method": "GET",
        "url.template": "/v1/listen",
        "server.address": "stt",
        "server.port": 8800,
    }
    with to_server(None, "GET", "/v1/listen", server) as span:
        assert span is None
