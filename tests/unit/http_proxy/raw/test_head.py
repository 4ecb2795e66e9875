"""Which requests are plain, and that aiohttp reads the same in each of them."""

import pytest

from benchmarks import fuzz_heads
from http_proxy.raw.fields import MAX_FIELDS, MAX_HEAD
from http_proxy.raw.head import plain_head

HEAD = b"POST /v1/listen?model=general HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n"


def test_a_plain_head_is_read_whole() -> None:
    data = HEAD + b"Authorization: Token a b\r\nX-Empty-Not: x\r\n\r\naudio"
    found = plain_head(data)
    assert found is not None
    assert (found.path, found.query, found.length, found.keep_alive) == ("/v1/listen", "model=general", 5, True)
    assert data[found.size :] == b"audio"
    assert found.headers.raw[2] == (b"Authorization", b"Token a b")
    assert found.headers.get("X-Empty-Not") == "x"


@pytest.mark.parametrize(("said", "keep_alive"), [(b"keep-alive", True), (b"close", False), (b"Close", False)])
def test_a_connection_is_kept_unless_the_client_says_no(said: bytes, keep_alive: bool) -> None:
    found = plain_head(HEAD + b"Connection: " + said + b"\r\n\r\n")
    assert found is not None
    assert found.keep_alive is keep_alive


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5", b"Host: other", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
        b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: upgrade", b"Connection: close, te",
        b"Content-Encoding: gzip", b"Content-Type: application/json", b"Content-Type: multipart/form-data; boundary=x",
        b"Sec-WebSocket-Protocol: token, x", b"Proxy-Connection: close", b"TE: trailers", b"Trailer: x", b"X: a\tb",
        b"X: \xc3\xa4", b"X:", b"X: a ", b"X : a", b" x: a", b"X", b": a", b"X: a\x00", b"X: a\nY: b", b"X: a\rY: b",
    ],
)  # fmt: skip
def test_what_two_readers_could_read_in_two_ways_is_not_plain(line: bytes) -> None:
    assert plain_head(HEAD + b"\r\n") is not None
    assert plain_head(HEAD + line + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        b"\r\n" + HEAD + b"\r\n",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        HEAD.replace(b"POST", b"PUT") + b"\r\n",
        HEAD.replace(b"/v1/listen", b"//v1/listen") + b"\r\n",
        HEAD.replace(b"/v1/listen", b"/transcribe/en") + b"\r\n",
        HEAD.replace(b"/v1/listen", b"http://x/v1/listen") + b"\r\n",
        HEAD.replace(b"model=", b"callback=") + b"\r\n",
        HEAD.replace(b"api.example", b"a/b") + b"\r\n",
        HEAD.replace(b"api.example", b"a:99999") + b"\r\n",
        *(HEAD.replace(b": 5", b": " + length) + b"\r\n" for length in (b"0", b"05", b"+5", b"5, 5", b"9" * 13)),
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(MAX_FIELDS)) + b"\r\n",
        HEAD + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n",
    ],
)
def test_what_is_not_the_plain_case_is_not_plain(data: bytes) -> None:
    assert plain_head(data) is None


def test_aiohttp_reads_the_same_in_requests_and_responses_that_are_plain() -> None:
    assert fuzz_heads.run(3000, seed=24) > 300
