import pytest
from multidict import CIMultiDict
from yarl import URL

from aldea import errors
from ws_proxy.websocket.handshake import (
    MAX_HEAD_BYTES,
    InvalidHandshake,
    Refusal,
    ResponseReader,
    UpgradeRequired,
    accept_key,
    check_request,
    new_key,
    upgrade_request,
    upgrade_response,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "api.example",
    "Upgrade": "WebSocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def request(**changes: str | None) -> CIMultiDict[str]:
    values = {**GOOD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return CIMultiDict({name: value for name, value in values.items() if value is not None})


def test_the_accept_key_is_that_of_rfc_6455() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_good_request_gives_its_key() -> None:
    assert check_request("GET", (1, 1), request()) == KEY
    assert check_request("GET", (1, 1), request(Content_Length="0")) == KEY


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"Upgrade": None}, UpgradeRequired),
        ({"Connection": "close"}, UpgradeRequired),
        ({"Sec_WebSocket_Version": "8"}, UpgradeRequired),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, errors.BadRequest),
        ({"Sec_WebSocket_Key": "not base64!"}, errors.BadRequest),
        ({"Content_Length": "3"}, errors.BadRequest),
        ({"Transfer_Encoding": "chunked"}, errors.BadRequest),
    ],
)
def test_a_bad_request_is_refused(changes: dict[str, str | None], error: type[errors.ApiError]) -> None:
    with pytest.raises(error):
        check_request("GET", (1, 1), request(**changes))


@pytest.mark.parametrize("name", ["Sec-WebSocket-Version", "Sec-WebSocket-Key"])
def test_what_may_be_sent_only_once_is_refused_when_sent_twice(name: str) -> None:
    headers = request()
    headers.add(name, GOOD[name])
    with pytest.raises(errors.BadRequest, match=name):
        check_request("GET", (1, 1), headers)


@pytest.mark.parametrize(
    ("method", "version", "host"),
    [("HEAD", (1, 1), "x"), ("POST", (1, 1), "x"), ("GET", (1, 0), "x"), ("GET", (1, 1), None)],
)
def test_an_upgrade_needs_get_http_1_1_and_a_host(method: str, version: tuple[int, int], host: str | None) -> None:
    with pytest.raises(errors.BadRequest, match="GET, HTTP/1\\.1 and a Host"):
        check_request(method, version, request(Host=host))


def test_a_host_may_be_empty_as_a_go_client_sends_it() -> None:
    assert check_request("GET", (1, 1), request(Host="")) == GOOD["Sec-WebSocket-Key"]


def test_an_upgrade_required_names_the_version_that_is_spoken() -> None:
    assert UpgradeRequired("x").headers()["Sec-WebSocket-Version"] == "13"


def test_our_response_is_one_that_our_reader_accepts() -> None:
    data = upgrade_response(KEY, {"dg-request-id": "abc"}) + b"early"
    assert ResponseReader(KEY).feed(data) == b"early"
    assert b"dg-request-id: abc\r\n" in data
    assert b"Extensions" not in data


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_response_is_read_from_pieces(step: int) -> None:
    reader, data = ResponseReader(KEY), upgrade_response(KEY, {})
    results = [reader.feed(data[at : at + step]) for at in range(0, len(data), step)]
    assert results[-1] == b""
    assert set(results[:-1]) <= {None}


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 101 X\r\n\r\n",
        b"SSH-2.0-OpenSSH",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
        b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        upgrade_response(KEY, {"Sec-WebSocket-Extensions": "permessage-deflate"}),
        upgrade_response(KEY, {"Sec-WebSocket-Protocol": "token"}),
        b"HTTP/1.1 101 X\r\nbroken\r\n\r\n",
        b"HTTP/1.1 101 " + b"x" * MAX_HEAD_BYTES,
    ],
)
def test_a_response_that_breaks_a_rule_is_refused(head: bytes) -> None:
    with pytest.raises(InvalidHandshake):
        ResponseReader(KEY).feed(head)


def test_a_refusal_comes_with_its_body() -> None:
    data = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\n{"a"'
    reader = ResponseReader(KEY)
    assert reader.feed(data[:-1]) is None
    found = reader.feed(data[-1:])
    assert isinstance(found, Refusal)
    assert (found.status, found.body) == (400, b'{"a"')


def test_a_refusal_without_a_length_is_what_came_until_the_end() -> None:
    reader = ResponseReader(KEY)
    assert reader.refusal() is None
    assert reader.feed(b"HTTP/1.1 500 Oops\r\n\r\nhalf") is None
    found = reader.refusal()
    assert found is not None
    assert (found.status, found.body) == (500, b"half")


def test_a_request_keeps_the_raw_query_and_brackets_an_ipv6_host() -> None:
    url = URL("ws://[::1]:8800/v1/listen?a=%20b&c=1%2F2", encoded=True)
    head = upgrade_request(url, new_key(), {"X-A": "b"}).decode()
    assert head.startswith("GET /v1/listen?a=%20b&c=1%2F2 HTTP/1.1\r\nHost: [::1]:8800\r\n")
    assert "X-A: b\r\n" in head
