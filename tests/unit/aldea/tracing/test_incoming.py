from aiohttp.test_utils import make_mocked_request

from aldea.headers import request_id
from aldea.tracing.incoming import begin, incoming, trace_of
from aldea.tracing.trace import RUNNING
from tests.unit.aldea.tracing.test_context import GOOD, TRACE


def test_a_request_has_the_trace_that_it_brought() -> None:
    request = make_mocked_request("GET", "/", {"Traceparent": GOOD, "TraceState": "a=1"})
    trace = begin(request, "/", continues=True)
    assert trace is not None
    assert trace_of(request) is trace
    assert RUNNING[request_id(request)] is trace
    assert trace.headers() == {"traceparent": GOOD, "tracestate": "a=1"}
    assert trace.trace_id == TRACE


def test_a_strangers_trace_and_a_malformed_one_are_not_continued() -> None:
    for headers, continues in (({"traceparent": GOOD}, False), ({"traceparent": "00-x"}, True), ({}, True)):
        request = make_mocked_request("GET", "/", headers)
        assert begin(request, "/", continues=continues) is None
        assert trace_of(request) is None
    assert incoming(make_mocked_request("GET", "/")) is None
