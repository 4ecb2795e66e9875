"""Responses on their way to the client."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from aldea.upstream import Upstreams
from http_proxy.response import Relay, Relayed, coding_of, next_piece, scanner_for
from http_proxy.upstream_connection import ResponseBroken, ResponseStalled, UpstreamResponse
from http_proxy.upstream_pool import Pool
from tests.unit.http_proxy.servers import raw_server, read_request, response

BODY = b'{"metadata":{"duration":1.5,"channels":1}}'


@asynccontextmanager
async def responded(*pieces: bytes, hold: bool = False) -> AsyncIterator[UpstreamResponse]:
    """The response of a server that sends these bytes, then closes (or, with `hold`, waits)."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hold:
            await reader.read()

    async with raw_server(play) as port:
        server = Upstreams([f"http://127.0.0.1:{port}"]).servers[0]
        connection = await Pool(connect_seconds=5, idle_seconds=0).acquire(server)
        connection.start(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", lambda: None)
        try:
            yield await asyncio.wait_for(connection.response(), 60)
        finally:
            connection.abort()


async def test_only_a_success_is_scanned() -> None:
    for head, scanned in (
        (response(BODY), True),
        (response(BODY, status="400 Bad"), False),
    ):
        async with responded(head) as found:
            assert (scanner_for(found) is not None) is scanned


async def test_a_compressed_response_is_scanned_as_what_it_unpacks_to() -> None:
    for coding, body in (("gzip", gzip.compress(BODY)), ("Deflate", zlib.compress(BODY)), ("identity", BODY)):
        async with responded(response(body, headers=f"Content-Encoding: {coding}\r\n".encode())) as found:
            scanner = scanner_for(found)
            assert scanner is not None
            scanner.feed(await next_piece(found, 10))
            assert scanner.duration == 1.5
            assert coding_of(found) == coding.lower().replace("identity", "")


async def test_a_body_that_stands_still_has_a_deadline() -> None:
    async with responded(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", hold=True) as found:
        assert await next_piece(found, 10) == b"{"
        with pytest.raises(ResponseStalled):
            await next_piece(found, 0.02)


async def test_a_body_that_breaks_off_is_reported() -> None:
    async with responded(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{") as found:
        with pytest.raises(ResponseBroken):
            while await next_piece(found, 10):
                pass


async def relayed(
    found: UpstreamResponse, request_head: bytes, *, keep_alive: bool = True, request_id: str = "id"
) -> tuple[bytes, list[str], Relay]:
    """What a client with this request's head receives of `found`, and what happened in which order."""
    order: list[str] = []
    relays: list[Relay] = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        scanner = scanner_for(found)
        relay = Relay(request, found, scanner, request_id=request_id, keep_alive=keep_alive, stall_seconds=10)
        relays.append(relay)

        async def before_end() -> None:
            order.append(f"settled with {relay.bytes_out} bytes, duration {scanner and scanner.duration}")

        return await relay.run(before_end)

    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        writer.write(request_head)
        received = b""
        async with asyncio.timeout(60):
            while not received.endswith((BODY, b"0\r\n\r\n")):
                piece = await reader.read(65_536)
                if not piece:
                    break
                received += piece
    finally:
        writer.close()
        await runner.cleanup()
    return received, order, relays[0]


async def test_a_response_of_known_length_is_settled_before_its_end_is_seen() -> None:
    async with responded(response(BODY)) as found:
        received, order, relay = await relayed(found, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert received.endswith(b"\r\n\r\n" + BODY)
        assert b"Content-Length: %d\r\n" % len(BODY) in received
        assert order == [f"settled with {len(BODY)} bytes, duration 1.5"]
        assert (relay.status, relay.bytes_out) == (200, len(BODY))


async def test_a_response_of_unknown_length_is_chunked_for_1_1_and_ends_with_the_connection_for_1_0() -> None:
    plain = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
    async with responded(plain) as found:
        received, _, _ = await relayed(found, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Transfer-Encoding: chunked\r\n" in received
        assert received.endswith(BODY + b"\r\n0\r\n\r\n")
    async with responded(plain) as found:
        received, _, _ = await relayed(found, b"GET / HTTP/1.0\r\n\r\n")
        assert b"Connection: close\r\n" in received
        assert received.endswith(b"\r\n\r\n" + BODY)


async def test_a_server_of_another_make_writes_no_id_of_its_own_into_the_body() -> None:
    theirs, own = "5b6c5b0e-0000-4000-8000-00000000abcd", "018f0000-0000-7000-8000-000000000001"
    body = b'{"metadata":{"request_id":"%b","duration":1.5,"channels":1}}'
    async with responded(response(body % theirs.encode())) as found:
        received, _, _ = await relayed(found, b"GET / HTTP/1.0\r\n\r\n", keep_alive=False, request_id=own)
    assert received.endswith(b"\r\n\r\n" + body % own.encode())
    assert f"dg-request-id: {own}\r\n".encode() in received


async def test_a_response_without_a_body_passes() -> None:
    async with responded(b"HTTP/1.1 204 No Content\r\n\r\n") as found:
        received, order, _ = await relayed(found, b"GET / HTTP/1.0\r\n\r\n", keep_alive=False)
        assert received.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert len(order) == 1


def test_a_relayed_response_informs_aiohttp_whether_the_connection_goes_on() -> None:
    assert Relayed(keep_alive=True).keep_alive
    assert not Relayed(keep_alive=False).keep_alive
