"""What is known of one server's places."""

import math

import pytest
from yarl import URL

from aldea.upstream import Circuit, Upstream
from aldea.upstream.server import FRESH_SECONDS
from aldea.upstream.stats import Stats
from tests.unit.aldea.upstream.clocks import Clock


@pytest.fixture
def server(clock: Clock) -> Upstream:
    return Upstream(URL("http://stt:8800"), Circuit(clock, lambda: 0.5))


def read(server: Upstream, clock: Clock, capacity: int | None, used: int) -> None:
    server.stats, server.read_at, server.held_then = Stats(capacity, used), clock.now, server.held


def test_the_load_is_what_it_said_and_what_was_sent_since(server: Upstream, clock: Clock) -> None:
    server.held = 2
    read(server, clock, 10, 4)
    assert server.load(clock.now) == 0.4
    server.held = 5
    assert server.load(clock.now) == 0.7
    server.held = 0
    assert server.load(clock.now) == 0.2
    read(server, clock, 10, 1)
    server.held = -5  # requests that were given back after they had ended
    assert server.load(clock.now) == 0.0


def test_without_fresh_statistics_the_load_is_not_known_and_the_server_not_full(server: Upstream, clock: Clock) -> None:
    assert server.load(clock.now) is None
    read(server, clock, 1, 1)
    assert server.full(clock.now)
    clock.now += FRESH_SECONDS + 0.1
    assert server.load(clock.now) is None
    assert not server.full(clock.now)
    read(server, clock, None, 0)
    assert server.load(clock.now) is None


def test_a_server_without_any_place_is_full(server: Upstream, clock: Clock) -> None:
    read(server, clock, 0, 0)
    assert server.load(clock.now) == math.inf
    assert server.full(clock.now)


def test_its_text_says_what_an_operator_looks_for(server: Upstream) -> None:
    assert repr(server) == "<Upstream stt:8800 closed>"
    server.switched_off = True
    assert repr(server) == "<Upstream stt:8800 closed leaving>"
