import asyncio
from typing import cast

import pytest

from aldea.admission import Admission, Grant, Renewals
from aldea.service.lifecycle import Lifecycle
from aldea.settings import read
from aldea.tasks import spawn
from aldea.upstream import Upstream
from aldea.usage.reading import UsageReading
from tests.unit.ws_proxy.test_session import session_of
from ws_proxy.session import Session
from ws_proxy.settings import Settings
from ws_proxy.streams import LiveStreams
from ws_proxy.websocket.relay import Relay
from ws_proxy.websocket.terms import Ending, Limits


class Books:
    """Admission and renewals, as far as live streams use them."""

    def __init__(self) -> None:
        self.finished: list[tuple[Grant, UsageReading]] = []
        self.renewed: set[Session] = set()

    async def finish(self, granted: Grant, final: UsageReading) -> None:
        self.finished.append((granted, final))

    def add(self, session: Session) -> None:
        self.renewed.add(session)

    def discard(self, session: Session) -> None:
        self.renewed.discard(session)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("STT_UPSTREAMS", "http://127.0.0.1:8800")
    return read(Settings)


async def test_a_stream_is_renewed_while_it_runs_and_booked_once_when_it_ends(settings: Settings) -> None:
    books = Books()
    streams = LiveStreams(settings, cast("Admission", books), cast("Renewals", books))
    session = session_of(Relay(Limits()))
    streams.add(session)
    assert (len(streams), books.renewed) == (1, {session})
    session.relay.ended.set_result(Ending("client", "", 1000, 1000))
    async with asyncio.timeout(60):
        while not books.finished:
            await asyncio.sleep(0)
    assert (len(streams), books.renewed) == (0, set())
    assert [found.request_id for found, _ in books.finished] == [session.grant.request_id]


async def test_a_stream_that_began_while_its_server_began_to_leave_is_moved_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books()
    streams = LiveStreams(settings, cast("Admission", books), cast("Renewals", books))
    left: list[Upstream] = []
    monkeypatch.setattr(streams, "leave", left.append)
    staying, leaving = (session_of(Relay(Limits())) for _ in range(2))
    streams.add(staying)
    streams.add(leaving)
    server = leaving.placement.server
    assert server is not None
    server.switched_off = True
    monkeypatch.setattr(Relay, "tick", lambda _relay, _now: None)
    await streams._tick_each(1000.0)
    assert left == [server]


async def test_a_drain_without_streams_is_over_at_once(settings: Settings) -> None:
    books = Books()
    streams = LiveStreams(settings, cast("Admission", books), cast("Renewals", books))
    lifecycle = Lifecycle()
    lifecycle.on_drain(streams.drain)
    lifecycle.begin_drain("test", 3600)
    await asyncio.wait_for(lifecycle.drained(), 60)


async def test_a_drain_waits_for_a_handshake_and_ends_its_wait_for_a_server(settings: Settings) -> None:
    books = Books()
    streams = LiveStreams(settings, cast("Admission", books), cast("Renewals", books))
    lifecycle = Lifecycle()
    lifecycle.on_drain(streams.drain)
    refused, responded = asyncio.Event(), asyncio.Event()

    async def handshake() -> None:
        with streams.handshake():
            try:
                async with streams.opening():
                    await asyncio.Event().wait()
            except TimeoutError:
                refused.set()
            await responded.wait()

    opening = spawn(handshake(), name="handshake")
    await asyncio.sleep(0)
    lifecycle.begin_drain("test", 3600)
    await asyncio.wait_for(refused.wait(), 60)
    drained = spawn(lifecycle.drained(), name="drained")
    await asyncio.sleep(0)
    assert not drained.done()
    responded.set()
    await asyncio.wait_for(drained, 60)
    await opening
