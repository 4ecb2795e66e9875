from dataclasses import replace
from unittest.mock import MagicMock, Mock

import pytest
from aiohttp.test_utils import make_mocked_request

from aldea import errors
from aldea.service.lifecycle import LIFECYCLE
from aldea.settings import read
from aldea.tracing.context import Context
from aldea.tracing.incoming import trace_of
from aldea.tracing.trace import Trace
from aldea.upstream import Upstreams
from tests.unit.ws_proxy.test_session import grant
from ws_proxy import metrics
from ws_proxy.meter import RawAudio
from ws_proxy.placement import UpstreamRequest
from ws_proxy.resources import (
    RESOURCES,
    about_to_restart,
    begin_trace,
    check_origin,
    new_session,
    observe_connected,
    refuse_in_a_drain,
    upstream_headers,
)
from ws_proxy.settings import Settings
from ws_proxy.websocket.terms import Limits


def test_pages_of_other_origins_are_refused() -> None:
    settings = read(
        Settings, redis_url="redis://127.0.0.1:1/0", stt_upstreams=("http://127.0.0.1:8800",),
        allowed_origins=("https://good.example",),
    )  # fmt: skip
    with pytest.raises(errors.InsufficientPermissions):
        check_origin(make_mocked_request("GET", "/v1/realtime", {"Origin": "https://evil.example"}), settings)
    check_origin(make_mocked_request("GET", "/v1/realtime", {"Origin": "https://good.example"}), settings)
    check_origin(make_mocked_request("GET", "/v1/realtime"), settings)


def test_a_process_that_drains_takes_nothing_new() -> None:
    with pytest.raises(errors.ServiceUnavailable):
        refuse_in_a_drain(Mock(app={LIFECYCLE: Mock(draining=True)}))
    refuse_in_a_drain(Mock(app={LIFECYCLE: Mock(draining=False)}))
    assert about_to_restart().retry_after == 1


async def test_the_time_to_words_is_measured_by_lane_and_by_the_servers_configured_name() -> None:
    resources = Mock(settings=Mock(replay_seconds=0), limits=Limits(), finder=Mock())
    server = Upstreams(["http://stt:8800"]).servers[0]
    server.move_to("192.0.2.7")  # the name of which has any number of addresses: the label's values are bounded
    request = UpstreamRequest("/v1/listen", "", {})
    labels = ("live1", "stt:8800")
    words, lag = metrics.FIRST_WORDS_SECONDS.labels(*labels)._sum, metrics.FINAL_LAG_SECONDS.labels(*labels)._sum
    before = (words.get(), lag.get())
    session = new_session(resources, grant(), request, RawAudio(32_000, 1), server, continues=True, connect_seconds=0.1)
    assert session.relay.first_words.on_words is not None
    assert session.relay.final_lag is not None
    session.relay.first_words.on_words(2.5)
    session.relay.final_lag.on_lag(1.5)
    assert (words.get() - before[0], lag.get() - before[1]) == (2.5, 1.5)
    container = new_session(resources, grant(), request, None, server, continues=True, connect_seconds=0.1)
    assert container.relay.final_lag is None


async def test_a_traced_stream_is_the_exemplar_of_its_latencies() -> None:
    resources = Mock(settings=Mock(replay_seconds=0), limits=Limits(), finder=Mock())
    server = Upstreams(["http://traced:8800"]).servers[0]
    trace = Trace(Context("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True))
    traced = replace(grant(), trace=trace)
    request = UpstreamRequest("/v1/listen", "", {}, trace)
    session = new_session(resources, traced, request, RawAudio(32_000, 1), server, continues=True, connect_seconds=0.1)
    observe_connected(traced, 0.1)
    assert session.relay.first_words.on_words is not None
    assert session.relay.final_lag is not None
    session.relay.first_words.on_words(2.5)
    session.relay.final_lag.on_lag(1.5)
    for histogram in (metrics.FIRST_WORDS_SECONDS, metrics.FINAL_LAG_SECONDS, metrics.CONNECT_SECONDS):
        [family] = histogram.collect()
        exemplars = [sample.exemplar for sample in family.samples if sample.exemplar is not None]
        assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": trace.trace_id}]


def test_an_stt_server_is_sent_the_trace_of_a_caller_whose_trace_is_continued() -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    settings = read(Settings, redis_url="redis://127.0.0.1:1/0", stt_upstreams=("http://127.0.0.1:8800",))
    app = MagicMock()
    app.__getitem__.side_effect = {RESOURCES: Mock(settings=settings)}.__getitem__
    for client, passed in (("10.0.0.7", traceparent), ("203.0.113.9", None)):
        headers = {"traceparent": traceparent, "baggage": "a=1", "X-Forwarded-For": client}
        request = make_mocked_request("GET", "/v1/listen", headers, app=app)
        begin_trace(request)
        sent = upstream_headers(request, replace(grant(), trace=trace_of(request)))
        assert (sent.get("traceparent"), sent["X-Forwarded-For"], "baggage" in sent) == (passed, client, False)
