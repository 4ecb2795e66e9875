"""Which responses of an STT server are plain; that aiohttp reads the same in them is test_head's."""

import pytest

from http_proxy.raw.response_head import plain_response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n"


def test_a_plain_head_is_read_whole() -> None:
    found = plain_response(HEAD + b"\r\n{}")
    assert found is not None
    assert (found.code, found.reason, found.length, found.should_close, found.chunked) == (200, "OK", 2, False, False)
    assert (HEAD + b"\r\n{}")[found.size :] == b"{}"
    assert found.raw_headers == [(b"Content-Length", b"2"), (b"Content-Type", b"application/json")]


def test_a_server_may_close_its_connection_and_send_nothing() -> None:
    found = plain_response(HEAD.replace(b": 2", b": 0") + b"Connection: Close\r\n\r\n")
    assert found is not None
    assert (found.length, found.should_close) == (0, True)


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"Content-Length: 2\r\n", b"") + b"\r\n",
        *(HEAD.replace(b"200 OK", status) + b"\r\n" for status in (b"100 X", b"101 X", b"204 X", b"304 X", b"200")),
        *(HEAD.replace(b": 2", b": " + length) + b"\r\n" for length in (b"-2", b"+2", b"02", b"2, 2", b"2 2")),
        *(
            HEAD + line + b"\r\n\r\n"
            for line in (
                b"Content-Length: 2", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Connection: upgrade",
                b"Upgrade: websocket", b"X: a\xff", b"X:", b" folded",
            )
        ),
    ],
)  # fmt: skip
def test_any_other_is_left_to_aiohttp(data: bytes) -> None:
    assert plain_response(data) is None
