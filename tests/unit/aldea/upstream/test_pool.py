"""Which servers a request tries, and what is remembered of them."""

import pytest
from structlog.testing import capture_logs

from aldea.service.lifecycle import NotReady
from aldea.upstream import FAILURES_TO_OPEN, State, Upstream, Upstreams
from aldea.upstream.circuit import BACKOFF_CAP_SECONDS, TRIAL_SECONDS
from aldea.upstream.pool import BUSY_CAP_SECONDS, BUSY_SECONDS
from aldea.upstream.server import FRESH_SECONDS
from aldea.upstream.stats import Stats
from tests.unit.aldea.upstream.clocks import Clock, assert_state

OWN, OTHER = "http://own:8800", "http://other:8800"


@pytest.fixture
def pair(clock: Clock) -> Upstreams:
    return Upstreams([OWN, OTHER], clock=clock, chance=lambda: 0.5)


def names(upstreams: Upstreams) -> list[str]:
    return [server.name for server in upstreams.candidates()]


def open_circuit(upstreams: Upstreams, index: int) -> None:
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(upstreams.servers[index], "refused")


def test_the_own_server_is_preferred_while_both_are_healthy(pair: Upstreams) -> None:
    assert names(pair) == ["own:8800", "other:8800"]


def test_a_circuit_opens_only_after_failures_in_a_row(pair: Upstreams) -> None:
    own = pair.servers[0]
    for _ in range(5):
        pair.failed(own, "refused")
        pair.failed(own, "refused")
        pair.succeeded(own)
    assert_state(own, State.CLOSED)
    open_circuit(pair, 0)
    assert not own.healthy
    assert names(pair) == ["other:8800"]


def test_when_all_circuits_are_open_there_is_no_candidate_and_a_time_to_wait(pair: Upstreams, clock: Clock) -> None:
    open_circuit(pair, 0)
    open_circuit(pair, 1)
    assert pair.candidates() == []
    assert pair.retry_after() == pytest.approx(1.0)
    clock.now += 1.01
    assert names(pair) == ["own:8800", "other:8800"], "a last resort once the backoff has passed"


def test_a_server_whose_backoff_passed_stays_behind_a_healthy_one(pair: Upstreams, clock: Clock) -> None:
    open_circuit(pair, 0)
    clock.now += 60
    assert names(pair) == ["other:8800", "own:8800"]


def test_a_probe_brings_a_server_back_for_one_customer_at_a_time(pair: Upstreams, clock: Clock) -> None:
    own = pair.servers[0]
    open_circuit(pair, 0)
    own.circuit.probe_succeeded()
    assert_state(own, State.OPEN)  # "the backoff has not passed"
    clock.now += 1.01
    own.circuit.probe_succeeded()
    assert_state(own, State.HALF_OPEN)
    assert names(pair) == ["own:8800", "other:8800"], "the first one tries it"
    assert names(pair) == ["other:8800", "own:8800"], "the next ones wait for what it sees"
    clock.now += TRIAL_SECONDS
    assert names(pair) == ["own:8800", "other:8800"], "a trial that never reported blocks nothing"
    pair.succeeded(own)
    assert names(pair) == names(pair) == ["own:8800", "other:8800"]


def test_a_failed_trial_opens_the_circuit_for_longer(pair: Upstreams, clock: Clock) -> None:
    own = pair.servers[0]
    open_circuit(pair, 0)
    waits = []
    for _ in range(8):
        waits.append(own.circuit.due - clock.now)
        clock.now = own.circuit.due
        own.circuit.probe_succeeded()
        pair.failed(own, "500")
        assert_state(own, State.OPEN)
    assert waits[:4] == pytest.approx([1, 2, 4, 8])
    assert max(waits) == BACKOFF_CAP_SECONDS


def test_requests_under_way_when_a_circuit_opened_do_not_lengthen_its_backoff(pair: Upstreams) -> None:
    open_circuit(pair, 0)
    due = pair.servers[0].circuit.due
    for _ in range(50):
        pair.failed(pair.servers[0], "refused")
    assert pair.servers[0].circuit.due == due


def test_the_query_arrives_as_it_was_sent(pair: Upstreams) -> None:
    query = "redact=pci&redact=ssn&keywords=a%3A2&q=a+b%20c&empty=&%C3%BC=%2F&x=a%26b"
    own = pair.servers[0]
    assert str(pair.ws_url(own, "/listen/v1", query)) == f"ws://own:8800/v1/listen?{query}"


def test_an_https_server_is_reached_over_tls() -> None:
    upstreams = Upstreams(["https://stt.example"])
    server = upstreams.servers[0]
    assert str(upstreams.ws_url(server, "/v1/listen", "")) == "wss://stt.example/v1/listen"


def test_the_proxys_own_token_goes_to_the_server() -> None:
    assert Upstreams([OWN], token="t0p").authorization == {"Authorization": "Token t0p"}
    assert Upstreams([OWN]).authorization == {}


async def test_readiness_needs_one_server_whose_circuit_is_closed() -> None:
    upstreams = Upstreams(["http://stt:8800"])
    await upstreams.check_ready()
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(upstreams.servers[0], "refused")
    with pytest.raises(NotReady, match="circuit is open"):
        await upstreams.check_ready()


def says(upstreams: Upstreams, index: int, capacity: int | None, used: int = 0, *, draining: bool = False) -> Upstream:
    server = upstreams.servers[index]
    upstreams.note_stats(server, Stats(capacity, used, draining), server.held)
    return server


def test_a_full_server_comes_behind_the_other_lane_and_is_still_tried(pair: Upstreams, clock: Clock) -> None:
    says(pair, 0, 8, 8)
    assert names(pair) == ["other:8800", "own:8800"]
    says(pair, 1, 8, 9)
    assert names(pair) == ["own:8800", "other:8800"], "both full: as preferred"
    clock.now += FRESH_SECONDS + 1
    says(pair, 1, 8, 0)
    assert names(pair) == ["own:8800", "other:8800"], "what is old says nothing"


def test_requests_between_two_readings_fill_a_server_up(pair: Upstreams) -> None:
    own = says(pair, 0, 8, 6)
    pair.hold(own)
    assert names(pair)[0] == "own:8800"
    pair.hold(own)
    assert names(pair)[0] == "other:8800"
    pair.release(own)
    assert names(pair)[0] == "own:8800"


def test_a_server_that_refused_for_want_of_a_place_is_tried_last_for_a_bounded_time(
    pair: Upstreams, clock: Clock
) -> None:
    own = pair.servers[0]
    for said, wait in [(None, BUSY_SECONDS), (0.0, BUSY_SECONDS), (5.0, 5.0), (86_400.0, BUSY_CAP_SECONDS)]:
        pair.busy(own, said)
        assert names(pair) == ["other:8800", "own:8800"]
        clock.now += wait - 0.01
        assert names(pair) == ["other:8800", "own:8800"]
        clock.now += 0.02
        assert names(pair) == ["own:8800", "other:8800"]
    assert_state(own, State.CLOSED)


def test_a_server_that_drains_takes_no_request_and_is_reported_once(pair: Upstreams) -> None:
    left: list[Upstream] = []
    pair.on_leaving(left.append)
    with capture_logs() as logs:
        own = says(pair, 0, 8, 3, draining=True)
        says(pair, 0, 8, 2, draining=True)
    assert own.leaving
    assert not pair.servers[1].leaving
    assert left == [own]
    assert [line["event"] for line in logs] == ["server is to be left"]
    assert names(pair) == ["other:8800"]
    own = says(pair, 0, 8, 0)
    assert not own.leaving, "it was restarted"
    assert names(pair) == ["own:8800", "other:8800"]
    says(pair, 0, 8, 0, draining=True)
    assert left == [own, own]


def test_a_close_for_a_restart_counts_as_draining_until_the_next_statistics(pair: Upstreams) -> None:
    own = says(pair, 0, 8, 3)
    pair.note_restart(own)
    assert own.leaving
    assert names(pair) == ["other:8800"]
    own = says(pair, 0, None)
    assert not own.leaving


def test_a_lane_that_was_switched_off_is_left_and_its_fallback_is_not(pair: Upstreams) -> None:
    left: list[Upstream] = []
    pair.on_leaving(left.append)
    own = says(pair, 0, 8, 3)
    pair.switch_own_lane(True)
    pair.switch_own_lane(True)
    assert left == [own]
    assert names(pair) == ["other:8800"]
    says(pair, 0, 8, 0)
    assert own.leaving, "statistics say nothing of the lane"
    pair.switch_own_lane(False)
    assert names(pair) == ["own:8800", "other:8800"]


def test_a_callback_that_fails_keeps_no_other_from_being_called(pair: Upstreams) -> None:
    left: list[Upstream] = []

    def fails(_server: Upstream) -> None:
        raise RuntimeError("a defect")

    pair.on_leaving(fails)
    pair.on_leaving(left.append)
    with capture_logs() as logs:
        own = says(pair, 0, 8, 3, draining=True)
    assert left == [own]
    assert "callback failed" in [line["event"] for line in logs]


async def test_without_a_server_that_stays_there_is_no_candidate_and_no_readiness(pair: Upstreams) -> None:
    says(pair, 0, 8, 3, draining=True)
    open_circuit(pair, 1)
    assert names(pair) == []
    assert pair.retry_after() >= 1.0
    with pytest.raises(NotReady, match="about to stop"):
        says(pair, 1, 8, 3, draining=True)
        pair.succeeded(pair.servers[1])
        await pair.check_ready()
    assert names(pair) == []
    assert pair.retry_after() == 1.0
