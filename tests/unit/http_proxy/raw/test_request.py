"""A plain upload has what the rest of the http-proxy reads of a request."""

import asyncio
from typing import Any, cast

from aiohttp import HttpVersion11, web

from aldea.credentials import from_request, sha256_hex
from aldea.headers import request_id
from aldea.service.client_address import client_address
from http_proxy.raw.body import Body
from http_proxy.raw.connection import RawConnection
from http_proxy.raw.head import plain_head
from http_proxy.raw.request import PlainRequest

HEAD = (
    b"POST /v1/listen?tag=a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nauthorization: Token key\r\n"
    b"X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n\r\n"
)


class Connection:
    transport = None
    remote = "1.2.3.4"


def plain() -> PlainRequest:
    head = plain_head(HEAD)
    assert head is not None
    body = Body(asyncio.new_event_loop(), head.length, 1, lambda: None, lambda: None)
    body._loop.close()
    made: Any = Connection()
    return PlainRequest(cast("RawConnection", made), head, body)


def test_it_reads_as_a_request_does() -> None:
    request = plain()
    assert (request.method, request.version, request.path) == ("POST", HttpVersion11, "/v1/listen")
    assert (request.rel_url.raw_path, request.rel_url.raw_query_string) == ("/v1/listen", "tag=a")
    assert (request.content_length, request.keep_alive, request.transport) == (5, True, None)
    assert request.headers.get("EXPECT", "") == ""
    assert request.headers.getall("Content-Encoding", []) == []
    request.writer.output_size += 3
    assert request.output_size == 3


def test_its_credential_its_client_and_its_id_are_found() -> None:
    request = cast("web.Request", plain())
    assert from_request(request).sha256 == sha256_hex("key")
    assert client_address(request) == "9.9.9.9"
    assert client_address(request, hops=0) == "1.2.3.4"
    assert request_id(request) == request_id(request)
