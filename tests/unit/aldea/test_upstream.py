"""The STT servers of a lane: parsing, path mapping, preference, circuits, probes."""

import asyncio
import socket
import ssl
from contextlib import closing

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import Field

from aldea import errors, upstream
from aldea.service.lifecycle import NotReady
from aldea.settings import ServiceSettings, explain, read
from aldea.tasks import cancel, spawn
from aldea.upstream import (
    BACKOFF_CAP_SECONDS,
    FAILURES_TO_OPEN,
    Circuit,
    State,
    Upstream,
    Upstreams,
    server_path,
    trust,
)

OWN, OTHER = "http://own:8800", "http://other:8800"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pair(clock: Clock) -> Upstreams:
    return Upstreams([OWN, OTHER], clock=clock, chance=lambda: 0.5)


def names(upstreams: Upstreams) -> list[str]:
    return [server.name for server in upstreams.candidates()]


def assert_state(of: Circuit | Upstream, state: State) -> None:
    assert (of if isinstance(of, Circuit) else of.circuit).state is state


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
    clock.now += upstream.TRIAL_SECONDS
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


def test_good_probes_do_not_hide_failing_requests(clock: Clock) -> None:
    circuit = Circuit(clock, lambda: 0.5)
    for _ in range(FAILURES_TO_OPEN):
        circuit.failed()
        circuit.probe_succeeded()
    assert_state(circuit, State.OPEN)


def test_failing_probes_alone_open_a_circuit_and_good_ones_between_do_not(clock: Clock) -> None:
    circuit = Circuit(clock, lambda: 0.5)
    for _ in range(10):
        circuit.probe_failed()
        circuit.probe_failed()
        circuit.probe_succeeded()
    assert_state(circuit, State.CLOSED)
    for _ in range(FAILURES_TO_OPEN):
        circuit.probe_failed()
    assert_state(circuit, State.OPEN)


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.8), (1.0, 1.2)])
def test_the_backoff_carries_jitter(clock: Clock, chance: float, wait: float) -> None:
    circuit = Circuit(clock, lambda: chance)
    for _ in range(FAILURES_TO_OPEN):
        circuit.failed()
    assert circuit.due - clock.now == pytest.approx(wait)


@pytest.mark.parametrize(
    ("public", "own"),
    [
        ("/v1/listen", "/v1/listen"),
        ("/listen/v1", "/v1/listen"),
        ("/v1/listen/pcm", "/v1/listen/pcm"),
        ("/listen/v1/pcm", "/v1/listen/pcm"),
        ("/transcribe", "/transcribe"),
        ("/transcribe/", "/transcribe/"),
        ("/transcribe/en/fast%20one", "/transcribe/en/fast%20one"),
    ],
)
def test_either_spelling_of_a_path_becomes_the_servers_own(public: str, own: str) -> None:
    assert server_path(public) == own


@pytest.mark.parametrize(
    "path",
    [
        "/stats", "/", "", "/v1/listen/", "/v1/listen/other", "/V1/listen", "/transcribex", "/transcribe/../stats",
        "/transcribe/%2e%2e/stats", "/transcribe/%2E./stats", "/transcribe/./a", "/transcribe//stats",
        "/transcribe/..%2fstats", "/transcribe/..%5cstats", "/transcribe/a\\b", "/transcribe/a b", "/transcribe/a?b",
        "/transcribe/\r\nx", "/transcribe/é",
    ],
)  # fmt: skip
def test_no_path_leads_anywhere_else_on_the_server(path: str) -> None:
    with pytest.raises(errors.NotFound):
        server_path(path)


def test_the_query_arrives_as_it_was_sent(pair: Upstreams) -> None:
    query = "redact=pci&redact=ssn&keywords=a%3A2&q=a+b%20c&empty=&%C3%BC=%2F&x=a%26b"
    own = pair.servers[0]
    assert str(pair.ws_url(own, "/listen/v1", query)) == f"ws://own:8800/v1/listen?{query}"


def test_an_https_server_is_reached_over_tls() -> None:
    upstreams = Upstreams(["https://stt.example"])
    server = upstreams.servers[0]
    assert str(upstreams.ws_url(server, "/v1/listen", "")) == "wss://stt.example/v1/listen"


def test_servers_are_verified_by_name_and_the_authorities_are_read_once() -> None:
    assert trust() is trust()
    assert trust().check_hostname
    assert trust().verify_mode is ssl.CERT_REQUIRED


def test_the_proxys_own_token_goes_to_the_server() -> None:
    assert Upstreams([OWN], token="t0p").authorization == {"Authorization": "Token t0p"}
    assert Upstreams([OWN]).authorization == {}


class Settings(ServiceSettings):
    port: int = 0
    stt_upstreams: upstream.ServerList = Field(description=upstream.SERVER_LIST_HELP)


def test_the_setting_is_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", " http://a:8800/ , https://b ,http://[::1]:8800")
    assert read(Settings).stt_upstreams == ("http://a:8800", "https://b", "http://[::1]:8800")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (",", "no server is named"),
        ("a:8800", "http:// or https://"),
        ("ftp://a:21", "http:// or https://"),
        ("http://", "'http://'"),
        ("http://a:8800/v1", "path or a query"),
        ("http://a:8800?x=1", "path or a query"),
        ("http://a:8800,http://a:8800/", "named twice"),
        ("http://a:port", "is no URL"),
        ("http://a:99999", "is no URL"),
        ("http://user:hunter2@a:8800", "STT_UPSTREAM_TOKEN"),
    ],
)
def test_a_bad_list_stops_the_start_with_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, value: str, complaint: str
) -> None:
    monkeypatch.setenv("STT_UPSTREAMS", value)
    with pytest.raises(ValueError) as caught:
        read(Settings)
    line = explain(Settings, caught.value)  # type: ignore[arg-type]
    assert "STT_UPSTREAMS" in line
    assert complaint in line
    assert "own first" in line
    assert "hunter2" not in line
    assert "\n" not in line


async def test_probes_distinguish_a_living_server_from_a_dead_one() -> None:
    status = 200
    seen: list[tuple[str, str | None]] = []

    async def stats(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization")))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        clock = Clock()
        upstreams = Upstreams([str(server.make_url("/"))], token="t0p", clock=clock, chance=lambda: 0.5)
        own = upstreams.servers[0]
        status = 500
        for _ in range(FAILURES_TO_OPEN):
            await upstreams.probe(session, own)
        assert_state(own, State.OPEN)
        status = 404  # a response is a sign of life
        clock.now = own.circuit.due
        await upstreams.probe(session, own)
        assert_state(own, State.HALF_OPEN)
        assert set(seen) == {("/stats", "Token t0p")}
        await server.close()
        await upstreams.probe(session, own)
        assert_state(own, State.OPEN)


async def test_watching_finds_a_dead_server_and_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PROBE_EVERY_SECONDS", 0.005)
    monkeypatch.setattr(upstream, "BACKOFF_SECONDS", 0.005)
    monkeypatch.setattr(upstream, "BACKOFF_CAP_SECONDS", 0.01)
    alive = False

    async def stats(_request: web.Request) -> web.Response:
        return web.Response(status=200 if alive else 503)

    async def until(state: State) -> None:
        async with asyncio.timeout(10):
            while own.circuit.state is not state:
                await asyncio.sleep(0.002)

    app = web.Application()
    app.router.add_get("/stats", stats)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        upstreams = Upstreams([str(server.make_url("/"))])
        own = upstreams.servers[0]
        watching = spawn(upstreams.watch(session), name="watch")
        await until(State.OPEN)
        alive = True
        await until(State.HALF_OPEN)
        await cancel(watching)


async def test_a_server_that_accepts_and_never_responds_fails_its_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PROBE_DEADLINE_SECONDS", 0.02)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        upstreams = Upstreams([f"http://127.0.0.1:{silent.getsockname()[1]}"])
        async with aiohttp.ClientSession() as session:
            for _ in range(FAILURES_TO_OPEN):
                await upstreams.probe(session, upstreams.servers[0])
    assert not upstreams.servers[0].healthy


async def test_readiness_needs_one_server_whose_circuit_is_closed() -> None:
    upstreams = Upstreams(["http://stt:8800"])
    await upstreams.check_ready()
    for _ in range(FAILURES_TO_OPEN):
        upstreams.failed(upstreams.servers[0], "refused")
    with pytest.raises(NotReady, match="circuit is open"):
        await upstreams.check_ready()
