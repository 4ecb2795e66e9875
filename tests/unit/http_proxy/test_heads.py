"""What travels and what stays."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_proxy.heads import RawHeaders, pairs, parameters, request_head, response_head, without_callback

ID = "0190b3a4-0000-7000-8000-000000000000"


def to_server(*headers: tuple[bytes, bytes], length: int | None = 5) -> list[bytes]:
    head = request_head(
        target="/v1/listen?a=%2F",
        host="stt:8800",
        raw_headers=headers,
        length=length,
        request_id=ID,
        client="203.0.113.9",
        authorization={"Authorization": "Token own"},
    )
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def to_client(
    headers: RawHeaders, *, length: int | None, keep_alive: bool = True, chunked: bool = False
) -> list[bytes]:
    head = response_head(
        status=200,
        reason="OK",
        raw_headers=headers,
        length=length,
        request_id=ID,
        keep_alive=keep_alive,
        chunked=chunked,
    )
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def test_the_request_line_and_the_proxys_own_headers_come_first() -> None:
    assert to_server() == [
        b"POST /v1/listen?a=%2F HTTP/1.1",
        b"Host: stt:8800",
        b"Content-Length: 5",
        b"dg-request-id: " + ID.encode(),
        b"X-Forwarded-For: 203.0.113.9",
        b"Accept-Encoding: identity",
        b"Authorization: Token own",
    ]


def test_a_body_of_unknown_length_is_chunked() -> None:
    lines = to_server(length=None)
    assert b"Transfer-Encoding: chunked" in lines
    assert not [line for line in lines if line.lower().startswith(b"content-length")]


@pytest.mark.parametrize(
    "name",
    [
        b"Authorization", b"Sec-WebSocket-Protocol", b"Cookie", b"Host", b"Connection", b"Keep-Alive", b"TE",
        b"Trailer", b"Transfer-Encoding", b"Upgrade", b"Expect", b"Accept-Encoding", b"X-Forwarded-For", b"Forwarded",
        b"DG-Request-Id", b"Proxy-Authorization", b"content-length",
    ],
)  # fmt: skip
def test_the_clients_own_never_reaches_the_server(name: bytes) -> None:
    assert not [line for line in to_server((name, b"from-the-client")) if b"from-the-client" in line]


def test_what_the_connection_header_lists_stays_behind() -> None:
    lines = to_server((b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"X-End", b"2"))
    assert b"X-End: 2" in lines
    assert not [line for line in lines if b"x-hop" in line.lower()]


def test_ordinary_headers_travel_byte_for_byte() -> None:
    lines = to_server((b"Content-Type", b"audio/wav"), (b"timestamps", b"true"), (b"X-\xc3\xbc", b"\xff\xfe"))
    assert lines[-4:-1] == [b"Content-Type: audio/wav", b"timestamps: true", b"X-\xc3\xbc: \xff\xfe"]


def test_the_response_carries_our_id_and_the_rules_for_browsers() -> None:
    lines = to_client([(b"Content-Type", b"application/json"), (b"dg-request-id", b"other")], length=7)
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[1] == b"dg-request-id: " + ID.encode()
    assert b"Access-Control-Allow-Origin: *" in lines
    assert b"Content-Type: application/json" in lines
    assert lines[-1] == b"Content-Length: 7"
    assert not [line for line in lines if b"other" in line]


def test_the_servers_connection_management_stays_behind() -> None:
    hop = [
        (b"Connection", b"keep-alive"), (b"Keep-Alive", b"5"), (b"Transfer-Encoding", b"chunked"),
        (b"Server", b"uvicorn"), (b"Set-Cookie", b"a=b"), (b"access-control-allow-origin", b"https://x"),
    ]  # fmt: skip
    lines = to_client(hop, length=None, chunked=True)
    assert lines[-1] == b"Transfer-Encoding: chunked"
    assert len([line for line in lines if line.lower().startswith(b"access-control-allow-origin")]) == 1
    assert not [line for line in lines if line.lower().startswith((b"keep-alive", b"set-cookie"))]
    assert [line for line in lines if line.lower().startswith(b"server")] == [b"Server: aldea"]


def test_a_response_after_which_the_connection_ends_says_so() -> None:
    assert to_client([], length=0, keep_alive=False)[-1] == b"Connection: close"


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("callback=https%3A%2F%2Fx&model=a", "model=a"),
        ("model=a&callback_method=put&redact=pci&redact=ssn&metadata=%7B%7D", "model=a&redact=pci&redact=ssn"),
        ("%63allback=x&a=1", "a=1"),
        ("my_callback=1&callbacks=2&a=b+c%20d&&", "my_callback=1&callbacks=2&a=b+c%20d&&"),
        ("callback", ""),
        ("", ""),
    ],
)
def test_the_server_never_sees_the_callback_parameters(query: str, rest: str) -> None:
    assert without_callback(query) == rest


def test_parameters_are_decoded() -> None:
    assert parameters("tag=a&tag=b%20c&stage=d&%74ag=e&tag=", "tag") == ["a", "b c", "e", ""]
    assert parameters("model=a", "tag") == []


@given(st.text(st.sampled_from("abc=&%20+callbkmethod_"), max_size=60))
def test_a_query_without_callbacks_stays_byte_for_byte(query: str) -> None:
    if not any(parameters(query, name) for name in ("callback", "callback_method", "metadata")):
        kept = without_callback(query)
        assert kept == query or any(part.split("=")[0] in {"callback", "metadata"} for part in query.split("&"))


@pytest.mark.parametrize(
    "query",
    ["", "a=1", "a=1&b=2&a=3", "a", "a=", "=b", "&&a=1&", "a=b=c", "a=b+c", "a=%20", "a%3Db=c", "a;b=c"],
)
def test_pairs_are_what_the_standard_library_reads(query: str) -> None:
    assert pairs(query) == parse_qsl(query)


def test_a_trace_goes_on_as_the_proxy_says_and_not_as_the_client_wrote_it() -> None:
    own = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    theirs = [(b"Traceparent", b"00-x"), (b"TraceState", b"a=1"), (b"Baggage", b"a=1")]
    head = request_head(
        target="/v1/listen", host="stt", raw_headers=theirs, length=5, request_id=ID, client="", authorization={},
        trace=own,
    )  # fmt: skip
    sent = [line for line in head.lower().split(b"\r\n") if line.startswith((b"trace", b"baggage"))]
    assert sent == [f"traceparent: {own['traceparent']}".encode()]
