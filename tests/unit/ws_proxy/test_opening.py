import pytest
from multidict import CIMultiDict

from aldea import errors
from aldea.upstream import Upstreams
from aldea.websocket.handshake import Refusal
from aldea.websocket.names import Names
from onebox.process import free_port
from ws_proxy.opening import Deadlines, _message, open_upstream

DEADLINES = Deadlines(connect=1, answer=1, total=2)


async def test_no_reachable_server_is_503_and_opens_circuits_in_the_end() -> None:
    upstreams = Upstreams([f"http://127.0.0.1:{free_port()}"])
    for _ in range(5):
        with pytest.raises(errors.ServiceUnavailable):
            await open_upstream(upstreams, Names(), "/v1/listen", "", {}, DEADLINES)
    assert not upstreams.servers[0].healthy


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"err_msg": "sample_rate: got 7"}', "sample_rate: got 7"), (b"<html>", "parameters"), (b"[1]", "parameters")],
)
def test_the_servers_words_are_passed_on_if_it_has_any(body: bytes, words: str) -> None:
    assert words in _message(Refusal(400, CIMultiDict(), body))
