import asyncio

import pytest
from multidict import CIMultiDict

from aldea import errors
from aldea.standstill import lived
from aldea.upstream import Upstreams
from onebox.ports import free_port
from ws_proxy.upstream_handshake import Deadlines, _message, open_upstream
from ws_proxy.websocket.dns_cache import DnsCache
from ws_proxy.websocket.handshake import Refusal


async def test_no_reachable_server_is_503_and_opens_circuits_in_the_end() -> None:
    upstreams = Upstreams([f"http://127.0.0.1:{free_port()}"])
    deadlines = Deadlines(connect=1, response=1, until=lived(asyncio.get_running_loop()) + 10)
    for _ in range(5):
        with pytest.raises(errors.ServiceUnavailable):
            await open_upstream(upstreams, DnsCache(), "/v1/listen", "", {}, deadlines)
    assert not upstreams.servers[0].healthy


async def test_a_request_whose_time_is_up_tries_no_server_more() -> None:
    upstreams = Upstreams([f"http://127.0.0.1:{free_port()}"])
    deadlines = Deadlines(connect=1, response=1, until=lived(asyncio.get_running_loop()))
    with pytest.raises(errors.GatewayTimeout):
        await open_upstream(upstreams, DnsCache(), "/v1/listen", "", {}, deadlines)


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"err_msg": "sample_rate: got 7"}', "sample_rate: got 7"), (b"<html>", "parameters"), (b"[1]", "parameters")],
)
def test_the_servers_words_are_passed_on_if_it_has_any(body: bytes, words: str) -> None:
    assert words in _message(Refusal(400, CIMultiDict(), body))
