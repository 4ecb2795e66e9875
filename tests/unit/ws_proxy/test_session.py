from typing import Any
from unittest.mock import Mock

import pytest

from aldea.admission import Grant, Verdict
from aldea.ids import new_request_id
from aldea.settings import read
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from aldea.usage.reading import Rank
from ws_proxy import metrics
from ws_proxy.meter import Meter, RawAudio
from ws_proxy.placement import Finder, Placement, UpstreamRequest
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.websocket.final_lag import FinalLag
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Ending, Initiator, Limits


def grant() -> Grant:
    return Grant(
        request_id=new_request_id(),
        started_ms=1,
        project_id=new_request_id(),
        key_id=new_request_id(),
        credential_sha256="ab",
        service="streaming",
        lane="live1",
        path="/v1/listen",
        tags=("t",),
    )


def session_of(
    relay: Relay, meter: Meter | None = None, *, upstreams: Upstreams | None = None, **given: Any
) -> Session:
    """A session of `relay` at the first of `upstreams`."""
    found = upstreams or Upstreams(["http://stt:8800"])
    settings = read(Settings, redis_url="redis://x", stt_upstreams="http://stt:8800")
    found.hold(found.servers[0])
    finder = Finder(settings, found)
    placement = Placement(finder, relay, UpstreamRequest("/v1/listen", "", {}), found.servers[0])
    return Session(grant(), relay, meter or Meter(None), placement, connect_ms=3, **given)


async def test_readings_rise_and_the_final_one_carries_the_close_code() -> None:
    clock = iter([10.0, 10.5, 12.0])
    relay = Relay(Limits())
    session = session_of(relay, Meter(RawAudio(32_000, 1)), now=lambda: next(clock))
    relay.client.scanner._binary_declared = 16_000
    checkpoint = session.checkpoint()
    relay.upstream.scanner.report = b'{"type":"Metadata","duration":2.5}'
    final = session.final(Ending("client", "bye", 1000, 1000))
    assert (checkpoint.rank, checkpoint.audio_ms, checkpoint.audio_source) == (Rank.OPEN, 500, "pcm")
    assert (checkpoint.connection_ms, checkpoint.close_code) == (500, None)
    assert (final.rank, final.audio_ms, final.audio_source) == (Rank.FINAL, 2500, "stt")
    assert (final.connection_ms, final.close_code, final.status, final.tags) == (2000, 1000, 101, ("t",))
    assert final.order > checkpoint.order


async def test_bytes_and_messages_are_counted_at_each_reading_and_once() -> None:
    relay = Relay(Limits())
    session = session_of(relay)
    counter = metrics.BYTES.labels("client")._value
    before = counter.get()
    relay.client.bytes_received = 100
    session.checkpoint()
    assert counter.get() - before == 100
    relay.client.bytes_received = 150
    session.final(Ending("client", "", 1000, 1000))
    assert counter.get() - before == 150


async def test_a_refused_renewal_ends_the_relay() -> None:
    relay = Relay(Limits())
    session = session_of(relay)
    session.on_refused(Verdict.REVOKED)
    assert relay.ending


@pytest.mark.parametrize(
    ("verdict", "how"),
    [(verdict, "drain" if verdict.used_up else "end") for verdict in Verdict],
)
async def test_only_what_is_used_up_ends_a_stream_behind_its_last_words(
    verdict: Verdict, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("drain", "end"):
        monkeypatch.setattr(Relay, name, lambda *_, name=name: called.append(name))
    session_of(Relay(Limits())).on_refused(verdict)
    assert called == [how]


@pytest.mark.parametrize(
    ("initiator", "responded", "healthy"),
    [("upstream", False, False), ("upstream", True, True), ("client", False, True), ("proxy", False, True)],
    ids=["lost", "closed by the server itself", "ended by the client", "ended by us"],
)
async def test_a_server_counts_as_failing_where_it_lost_running_streams_and_not_where_it_closed_them(
    initiator: Initiator, *, responded: bool, healthy: bool
) -> None:
    upstreams = Upstreams(["http://stt:8800"])
    for _ in range(FAILURES_TO_OPEN):
        relay = Relay(Limits())
        relay.upstream.close_received = (1011, "NET-0000") if responded else None
        session_of(relay, upstreams=upstreams).final(Ending(initiator, "connection lost", 1011, 1006))
    assert upstreams.servers[0].healthy is healthy


async def test_a_stream_without_any_words_is_counted_once() -> None:
    relay = Relay(Limits())
    session = session_of(relay)
    wordless = metrics.WORDLESS.labels("live1")._value
    before = wordless.get()
    session.checkpoint()
    assert wordless.get() == before
    relay.first_words._scanner, relay.first_words._audio_at = relay.upstream.scanner, -1e9
    session.checkpoint()
    session.final(Ending("client", "", 1000, 1000))
    assert wordless.get() == before + 1


async def test_what_the_words_took_is_in_the_readings_and_in_the_log_line(monkeypatch: pytest.MonkeyPatch) -> None:
    relay = Relay(Limits())
    relay.final_lag = FinalLag(32_000, lambda _seconds: None)
    session = session_of(relay)
    assert session.checkpoint().first_word_ms is None
    relay.first_words.seconds, relay.final_lag.greatest = 0.6124, 0.25
    assert session.checkpoint().first_word_ms == 612
    logged = Mock()
    monkeypatch.setattr("ws_proxy.session._ended", logged)
    assert session.final(Ending("client", "", 1000, 1000)).first_word_ms == 612
    line = logged.info.call_args.kwargs
    assert (line["first_word_ms"], line["final_lag_ms"]) == (612, 250)
