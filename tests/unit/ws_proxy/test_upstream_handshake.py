import asyncio
from typing import cast

import pytest
from multidict import CIMultiDict
from yarl import URL

from aldea import errors
from aldea.standstill import lived
from aldea.upstream import FAILURES_TO_OPEN, Upstreams
from onebox.ports import free_port
from tests.unit.aldea.upstream.clocks import Clock
from tests.unit.aldea.upstream.zones import Zone
from tests.unit.http_proxy.servers import Play, raw_server, read_head
from ws_proxy import upstream_handshake
from ws_proxy.upstream_handshake import Deadlines, _message, open_upstream
from ws_proxy.websocket.connect import NoResponse, Opened
from ws_proxy.websocket.handshake import Refusal, upgrade_response


async def test_no_reachable_server_is_503_and_opens_circuits_in_the_end() -> None:
    upstreams = Upstreams([f"http://127.0.0.1:{free_port()}"])
    deadlines = Deadlines(connect=1, response=1, until=lived(asyncio.get_running_loop()) + 10)
    for _ in range(5):
        with pytest.raises(errors.ServiceUnavailable):
            await open_upstream(upstreams, "/v1/listen", "", {}, deadlines)
    assert not upstreams.servers[0].healthy


async def test_a_request_whose_time_is_up_tries_no_server_more() -> None:
    upstreams = Upstreams([f"http://127.0.0.1:{free_port()}"])
    deadlines = Deadlines(connect=1, response=1, until=lived(asyncio.get_running_loop()))
    with pytest.raises(errors.GatewayTimeout):
        await open_upstream(upstreams, "/v1/listen", "", {}, deadlines)


def in_time() -> Deadlines:
    return Deadlines(connect=5, response=5, until=lived(asyncio.get_running_loop()) + 300)


def full(status: bytes, retry_after: bytes) -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 %b Full\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % (status, retry_after))
        await writer.drain()

    return play


async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await read_head(reader)).decode()
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    writer.write(upgrade_response(key, {}))
    await writer.drain()
    await reader.read()


@pytest.mark.parametrize("status", [b"429", b"503"])
async def test_a_server_without_a_place_is_passed_over_and_tried_last_from_then_on(status: bytes) -> None:
    async with raw_server(full(status, b"5")) as first, raw_server(takes) as second:
        upstreams = Upstreams([f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"])
        for _ in range(FAILURES_TO_OPEN + 1):
            server, opened = await open_upstream(upstreams, "/v1/listen", "", {}, in_time())
            assert server is upstreams.servers[1]
            opened.transport.abort()
        assert upstreams.servers[0].healthy
        assert upstreams.candidates()[0] is server
        assert [each.held for each in upstreams.servers] == [0, FAILURES_TO_OPEN + 1]


async def test_without_any_place_the_client_learns_when_to_come_back_and_counts_nowhere() -> None:
    async with raw_server(full(b"503", b"7")) as first, raw_server(full(b"429", b"7")) as second:
        upstreams = Upstreams([f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"])
        with pytest.raises(errors.ServiceUnavailable, match="busy") as caught:
            await open_upstream(upstreams, "/v1/listen", "", {}, in_time())
        assert caught.value.retry_after == 7
        assert [each.held for each in upstreams.servers] == [0, 0]


async def test_where_a_whole_lane_hangs_there_is_time_for_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    given: list[float] = []

    async def hangs(_url: URL, _headers: object, *, response_seconds: float, host: str, **_more: object) -> Opened:
        nonlocal now
        given.append(response_seconds)
        if host == "10.0.1.1":
            return Opened(cast("asyncio.Transport", None), b"")
        now += response_seconds
        raise NoResponse("hangs")

    monkeypatch.setattr(upstream_handshake, "lived", lambda _loop: now)
    monkeypatch.setattr(upstream_handshake, "open_websocket", hangs)
    zone = Zone(own=[f"10.0.0.{n}" for n in range(9)], other=["10.0.1.1"])
    upstreams = Upstreams(["http://own:8800", "http://other:8800"], lookup=zone)
    deadlines = Deadlines(connect=2, response=5, until=now + 10)
    server, _ = await open_upstream(upstreams, "/v1/listen", "", {}, deadlines)
    assert server.address == "10.0.1.1"
    assert given == [5.0, 2.5, 1.25, 0.625, 0.3125]


async def test_a_stream_goes_to_the_address_that_the_name_has_now() -> None:
    async with raw_server(takes) as port:
        zone, clock = Zone(stt=["127.0.0.2"]), Clock()
        upstreams = Upstreams([f"http://stt:{port}"], lookup=zone, clock=clock)
        await upstreams.renew()
        zone.names["stt"] = ["127.0.0.1"]
        with pytest.raises(errors.ServiceUnavailable):
            await open_upstream(upstreams, "/v1/listen", "", {}, in_time())  # resolved a moment ago
        clock.now += 600
        server, opened = await open_upstream(upstreams, "/v1/listen", "", {}, in_time())
        assert (server.address, server.held) == ("127.0.0.1", 1)
        opened.transport.abort()


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"err_msg": "sample_rate: got 7"}', "sample_rate: got 7"), (b"<html>", "parameters"), (b"[1]", "parameters")],
)
def test_the_servers_words_are_passed_on_if_it_has_any(body: bytes, words: str) -> None:
    assert words in _message(Refusal(400, CIMultiDict(), body))
