"""The http-proxy before a real Redis and staged STT servers: what passes, what is metered, how each fault looks."""

import asyncio
import gzip
import socket
from typing import Any

import pytest
import redis.asyncio as redis

from aldea import redis_schema
from aldea.tasks import cancel, spawn
from http_proxy.connection import Connection
from http_proxy.upload import Upload
from tests.integration.proxied import (
    KEY,
    KEY_ID,
    PROJECT,
    RESULT,
    ask,
    client_of,
    final,
    head,
    leases,
    load_key,
    passed_on,
    plays,
    post,
    proxying,
    readings,
    well,
)
from tests.integration.proxies import eventually
from tests.unit.http_proxy.servers import answer, deaf_server, raw_server, read_head, read_request

JSON = "Content-Type: application/json"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("public", "own"),
    [
        ("/v1/listen?a=1&redact=pci&redact=ssn&keywords=x%3A2", "/v1/listen?a=1&redact=pci&redact=ssn&keywords=x%3A2"),
        ("/listen/v1?a=b+c", "/v1/listen?a=b+c"),
        ("/transcribe", "/transcribe"),
        ("/transcribe/en?x", "/transcribe/en?x"),
    ],
)  # fmt: skip
async def test_a_request_passes_and_is_metered(
    redis_url: str, redis_client: redis.Redis, public: str, own: str
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        reply = await ask(proxy, post(b"audio", public, "Content-Type: audio/wav", "X-Forwarded-For: 6.6.6.6, 9.9.9.9"))
        assert reply.status == 200
        assert reply.body == RESULT
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["access-control-allow-origin"] == "*"
        [(request, body)] = seen
        assert body == b"audio"
        lines = request.decode().split("\r\n")
        assert lines[0] == f"POST {own} HTTP/1.1"
        assert f"dg-request-id: {reply.headers['dg-request-id']}" in lines
        assert "X-Forwarded-For: 9.9.9.9" in lines
        assert "Authorization: Token the-proxys-own" in lines
        assert KEY.text not in request.decode()
        reading = await final(redis_client)
        assert reading.request_id == reply.headers["dg-request-id"]
        assert (reading.project_id, reading.key_id) == (PROJECT, KEY_ID)
        assert (reading.audio_ms, reading.channels, reading.audio_source) == (5000, 2, "stt")
        assert (reading.status, reading.bytes_in, reading.bytes_out) == (200, 5, len(RESULT))
        assert reading.path == own.split("?", maxsplit=1)[0]
        assert await leases(redis_client) == 0


async def test_tags_stand_in_the_reading(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        await ask(proxy, post(b"audio", "/v1/listen?tag=a&tag=b%20c"))
        assert (await final(redis_client)).tags == ("a", "b c")


async def test_a_chunked_upload_passes_chunked(redis_url: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        chunks = b"3\r\naud\r\n2\r\nio\r\n0\r\n\r\n"
        reply = await ask(proxy, head("/v1/listen", "Transfer-Encoding: chunked") + chunks)
        assert reply.status == 200
        assert seen[0][1] == b"audio"


async def test_many_requests_share_connections_both_ways(redis_url: str) -> None:
    connections = 0
    seen: list[tuple[bytes, bytes]] = []
    serve = well(seen)

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await serve(reader, writer)

    async with raw_server(counting) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        for number in range(20):
            await client.send(post(b"x" * (number * 5_000 + 1)))
            assert (await client.reply()).status == 200
        assert connections <= 2, "one for the requests, one for a probe"
        assert [len(body) for _, body in seen if body] == [number * 5_000 + 1 for number in range(20)]


async def test_a_client_that_takes_turns_never_meets_its_own_lease(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await load_key(redis_client, concurrent_streams=1)
        for _ in range(50):
            await client.send(post())
            assert (await client.reply()).status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (head("/v1/listen", "Content-Length: 5", authorization="") + b"audio", 401, "INVALID_AUTH"),
        (head("/v1/listen", "Content-Length: 5", authorization="Authorization: Token org_x"), 401, "INVALID_AUTH"),
        (head("/v1/listen"), 411, "LENGTH_REQUIRED"),
        (head("/v1/listen", "Content-Length: 0"), 400, "Bad Request"),
        (head("/v1/listen", "Content-Length: 3000000000"), 413, "PAYLOAD_TOO_LARGE"),
        (head("/transcribe/../stats", "Content-Length: 5"), 404, "NOT_FOUND"),
        (head("/nowhere", "Content-Length: 5"), 404, "NOT_FOUND"),
        (b"GET /v1/listen HTTP/1.1\r\nHost: x\r\n\r\n", 405, "METHOD_NOT_ALLOWED"),
        (post(b"audio", "/v1/listen?callback=ftp://x/"), 400, "Bad Request"),
        (post(b"audio", "/v1/listen?callback=https://example.com/&callback_method=GET"), 400, "Bad Request"),
        (post(b"audio", "/v1/listen?callback=http://10.0.0.1/"), 400, "Bad Request"),
        (post(b'{"url":"http://169.254.169.254/"}', "/v1/listen", JSON), 400, "Bad Request"),
        (post(b'{"url":"file:///etc/passwd"}', "/v1/listen", JSON), 400, "Bad Request"),
        (post(b'{"uri":1}', "/v1/listen", JSON), 400, "Bad Request"),
        (post(b"no json", "/v1/listen", JSON), 400, "Bad Request"),
        (post(b'{"url":"http://10.0.0.1/"}', "/v1/listen", "Content-Type: text/x-JSON"), 400, "Bad Request"),
        (post(b'{"url":"https://a.example/","url":"http://10.0.0.1/"}', "/v1/listen", JSON), 400, "Bad Request"),
    ],
)  # fmt: skip
async def test_a_refusal_has_the_contracts_shape_and_reaches_no_server(
    redis_url: str, redis_client: redis.Redis, request_bytes: bytes, status: int, code: str
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        reply = await ask(proxy, request_bytes)
        assert reply.status == status
        assert reply.json["err_code"] == code
        assert reply.json["request_id"] == reply.headers["dg-request-id"]
        assert reply.headers["access-control-allow-origin"] == "*"
        assert [body for _, body in seen if body] == []
        assert await leases(redis_client) == 0
        assert not any(reading.audio_ms for reading in await readings(redis_client))


async def test_a_json_body_with_a_url_passes_as_it_came(redis_url: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        body = b'{ "url":  "http://127.0.0.1:9/a.wav" }'
        reply = await ask(proxy, post(body, "/v1/listen", "Content-Type: application/json"))
        assert reply.status == 200
        assert seen[0][1] == body


async def test_browsers_may_ask(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        request = (
            b"OPTIONS /v1/listen HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n"
            b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,timestamps\r\n\r\n"
        )
        reply = await ask(proxy, request)
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-headers"] == "authorization,timestamps"
        assert "POST" in reply.headers["access-control-allow-methods"]


async def test_the_body_is_asked_for_only_after_admission(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 5", "Expect: 100-continue"))
            async with asyncio.timeout(20):
                assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"audio")
            assert (await client.reply()).status == 200
        refused = head("/v1/listen", "Content-Length: 5", "Expect: 100-continue", authorization="")
        assert (await ask(proxy, refused)).status == 401


# Servers.


async def test_a_dead_server_is_passed_over(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, closed_port(), stt) as proxy:
        for _ in range(5):
            assert (await ask(proxy, post())).status == 200
        assert not proxy.house.upstreams.servers[0].healthy
        assert sum(reading.audio_ms for reading in await readings(redis_client)) == 5 * 5000


async def test_a_server_whose_syns_nobody_answers_is_passed_over_at_the_connect_deadline(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with raw_server(well()) as stt:
        with deaf_server() as deaf:
            async with proxying(redis_url, deaf, stt, connect_seconds=0.2) as proxy:
                assert (await ask(proxy, post())).status == 200
            assert sum(reading.audio_ms for reading in await readings(redis_client)) == 5000
            async with proxying(redis_url, deaf, connect_seconds=0.2) as proxy:
                reply = await ask(proxy, post())
                assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
                assert await leases(redis_client) == 0


async def test_without_any_server_the_answer_is_502_and_nothing_is_billed(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with proxying(redis_url, closed_port(), closed_port()) as proxy:
        for _ in range(5):
            reply = await ask(proxy, post())
            assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
            assert int(reply.headers["retry-after"]) >= 1
        assert all(reading.audio_ms == 0 for reading in await readings(redis_client))


async def test_a_server_that_says_503_is_passed_over(redis_url: str) -> None:
    full = plays(answer(b'{"err_code":"SERVICE_UNAVAILABLE"}', status="503 Full"))
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(full) as first, raw_server(well(seen)) as second:
        async with proxying(redis_url, first, second) as proxy:
            assert (await ask(proxy, post())).status == 200
            assert [body for _, body in seen if body] == [b"audio"]
        async with proxying(redis_url, first) as proxy:
            assert (await ask(proxy, post())).status == 503, "the last one's own word is passed on"


async def test_a_server_lost_before_it_had_the_body_is_passed_over(redis_url: str) -> None:
    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    seen: list[tuple[bytes, bytes]] = []
    before = passed_on()
    async with (
        raw_server(dies) as first,
        raw_server(well(seen)) as second,
        proxying(redis_url, first, second) as proxy,
        client_of(proxy) as client,
    ):
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        # Had the proxy sent the rest before it saw the loss, it could not know what the server made of it.
        await eventually(lambda: passed_on() > before)
        await client.send(b"-part")
        assert (await client.reply()).status == 200
        assert [body for _, body in seen if body] == [b"audio-part"]


async def test_a_server_lost_after_it_had_the_body_is_not_asked_twice(
    redis_url: str, redis_client: redis.Redis
) -> None:
    had = 0

    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal had
        await read_request(reader)
        had += 1

    seen: list[tuple[bytes, bytes]] = []
    async with (
        raw_server(dies) as first,
        raw_server(well(seen)) as second,
        proxying(redis_url, first, second) as proxy,
    ):
        reply = await ask(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
        assert had == 1
        assert [body for _, body in seen if body] == []
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (502, 0)


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + RESULT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(RESULT), RESULT),
    ],
)
async def test_a_server_that_dies_in_its_answer_cuts_the_client_and_bills_nothing(
    redis_url: str, redis_client: redis.Redis, begun: bytes
) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        await writer.drain()

    async with raw_server(dies) as stt, proxying(redis_url, stt) as proxy:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await ask(proxy, post())
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (502, 0)
        assert await leases(redis_client) == 0


@pytest.mark.parametrize("garbage", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\x00\xff"])
async def test_a_server_that_talks_garbage_is_a_bad_gateway(
    redis_url: str, redis_client: redis.Redis, garbage: bytes
) -> None:
    async with raw_server(plays(garbage)) as stt, proxying(redis_url, stt) as proxy:
        assert (await ask(proxy, post())).status == 502
        assert (await final(redis_client)).audio_ms == 0


async def test_a_server_that_refuses_the_proxys_token_is_not_the_customers_fault(redis_url: str) -> None:
    async with raw_server(plays(answer(b"{}", status="401 Unauthorized"))) as stt, proxying(redis_url, stt) as proxy:
        assert (await ask(proxy, post())).json["err_code"] == "BAD_GATEWAY"


async def test_the_servers_own_refusal_is_passed_on(redis_url: str, redis_client: redis.Redis) -> None:
    body = b'{"err_code":"Bad Request","err_msg":"no audio","request_id":"x"}'
    async with raw_server(plays(answer(body, status="400 Bad Request"))) as stt, proxying(redis_url, stt) as proxy:
        reply = await ask(proxy, post())
        assert (reply.status, reply.body) == (400, body)
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (400, 0)


async def test_an_answer_before_the_whole_body_is_passed_on(redis_url: str) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b'{"err_code":"Bad Request"}', status="400 Bad Request"))
        await reader.read()

    async with raw_server(early) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
        reply = await client.reply()
        assert reply.status == 400
        assert reply.headers["connection"] == "close"


async def test_a_server_that_never_answers_is_a_timeout_that_names_callback(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as stt, proxying(redis_url, stt, first_byte_seconds=0.05) as proxy:
        reply = await ask(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (504, "GATEWAY_TIMEOUT")
        assert "callback" in reply.json["err_msg"]
        assert (await final(redis_client)).status == 504


async def test_a_request_that_takes_too_long_as_a_whole_is_a_timeout(redis_url: str, redis_client: redis.Redis) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as stt, proxying(redis_url, stt, total_seconds=0.05) as proxy:
        reply = await ask(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (504, "GATEWAY_TIMEOUT")
        assert "as a whole" in reply.json["err_msg"]
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (504, 0)
        assert await leases(redis_client) == 0


async def test_an_answer_that_stands_still_is_cut(redis_url: str, redis_client: redis.Redis) -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        await reader.read()

    async with raw_server(stalls) as stt, proxying(redis_url, stt, answer_stall_seconds=0.05) as proxy:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask(proxy, post())
        assert (await final(redis_client)).status == 502


async def test_a_large_answer_passes_in_any_framing(redis_url: str, redis_client: redis.Redis) -> None:
    text = b'{"results":{"x":"' + b"y" * 3_000_000 + b'"},"metadata":{"duration":1,"channels":1}}'
    framed = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (text[:1_000_000], text[1_000_000:])) + b"0\r\n\r\n"
    for reply in (answer(text), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed):
        await redis_client.flushall()
        async with raw_server(plays(reply)) as stt, proxying(redis_url, stt) as proxy:
            assert (await ask(proxy, post())).body == text
            assert (await final(redis_client)).audio_ms == 1000
            old = head("/v1/listen", "Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/1.0") + b"audio"
            assert (await ask(proxy, old)).body == text


async def test_an_answer_that_comes_byte_by_byte_is_metered(redis_url: str, redis_client: redis.Redis) -> None:
    async def dribbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(len(RESULT)):
            writer.write(b"1\r\n%b\r\n" % RESULT[n : n + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with raw_server(dribbles) as stt, proxying(redis_url, stt) as proxy:
        assert (await ask(proxy, post())).body == RESULT
        assert (await final(redis_client)).audio_ms == 5000


async def test_a_compressed_answer_passes_as_it_came_and_is_metered(redis_url: str, redis_client: redis.Redis) -> None:
    body = gzip.compress(RESULT)
    seen: list[tuple[bytes, bytes]] = []
    packed = plays(answer(body, headers=b"Content-Encoding: gzip\r\n"), seen)
    async with raw_server(packed) as stt, proxying(redis_url, stt) as proxy:
        reply = await ask(proxy, post(b"audio", "/v1/listen", "Accept-Encoding: gzip, br"))
        assert b"\r\nAccept-Encoding: identity\r\n" in seen[0][0], "it was not asked for"
        assert (reply.headers["content-encoding"], reply.body) == ("gzip", body)
        assert (await final(redis_client)).audio_ms == 5000


# Clients.


async def test_a_client_that_leaves_in_its_upload_frees_everything(redis_url: str, redis_client: redis.Redis) -> None:
    lost = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        try:
            await read_request(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            lost.set()

    async with raw_server(serve) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 1000000") + b"audio")
            while not await leases(redis_client):  # until it is under way
                await asyncio.sleep(0.01)
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (422, 0)
        await asyncio.wait_for(lost.wait(), 20)
        assert await leases(redis_client) == 0
        assert proxy.house.upstreams.servers[0].healthy


async def test_a_client_that_leaves_after_its_upload_is_billed_when_the_server_answers(
    redis_url: str, redis_client: redis.Redis
) -> None:
    had, go = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"POST" not in (await read_request(reader))[0]:
            return
        had.set()
        await go.wait()
        writer.write(answer(RESULT))
        await writer.drain()

    async with raw_server(serve) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(post())
            await asyncio.wait_for(had.wait(), 20)
        await asyncio.sleep(0)
        go.set()
        assert (await final(redis_client)).audio_ms == 5000


async def test_a_client_that_stops_taking_its_answer_is_cut_and_billed(
    redis_url: str, redis_client: redis.Redis
) -> None:
    text = b'{"results":{"x":"' + b"y" * 30_000_000 + b'"},"metadata":{"duration":1,"channels":1}}'
    async with (
        raw_server(plays(answer(text))) as stt,
        proxying(redis_url, stt, answer_stall_seconds=0.1) as proxy,
        client_of(proxy) as client,
    ):
        await client.send(post())  # and its reader's bound stops the transport soon
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (200, 1000)
        assert proxy.house.upstreams.servers[0].circuit._failed_requests == 0


async def test_a_body_that_breaks_off_is_422(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
            client.writer.write_eof()
            reply = await client.reply()
            assert (reply.status, reply.json["err_code"]) == (422, "ASR_UNPROCESSABLE_ENTITY")
        assert (await final(redis_client)).status == 422


async def test_broken_chunks_are_422(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Transfer-Encoding: chunked") + b"5\r\naudio\r\n")
        while not await leases(redis_client):
            await asyncio.sleep(0.01)
        await client.send(b"zz\r\n")
        assert (await client.reply()).status == 422


async def test_a_client_that_closes_its_side_after_its_upload_still_gets_its_answer(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        client.writer.write(post())
        client.writer.write_eof()
        assert (await client.reply()).body == RESULT


async def test_a_slow_upload_is_408(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, upload_stall_seconds=0.05) as proxy:
        reply = await ask(proxy, head("/v1/listen", "Content-Length: 1000") + b"audio")
        assert (reply.status, reply.json["err_code"]) == (408, "SLOW_UPLOAD")
        assert (await final(redis_client)).status == 408


async def test_a_chunked_upload_beyond_the_cap_is_413(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, max_body_bytes=10) as proxy:
        chunks = b"b\r\n0123456789a\r\n0\r\n\r\n"
        reply = await ask(proxy, head("/v1/listen", "Transfer-Encoding: chunked") + chunks)
        assert (reply.status, reply.json["err_code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert (await final(redis_client)).status == 413


async def test_a_compressed_body_passes_as_it_was_sent(redis_url: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        await ask(proxy, post(b"not gzip at all", "/v1/listen", "Content-Encoding: gzip"))
        assert seen[0][1] == b"not gzip at all"


async def test_a_slow_server_holds_the_client_back(redis_url: str) -> None:
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await go.wait()
        left = 100_000_000
        while left:
            left -= len(await reader.read(min(left, 1 << 20)))
        writer.write(answer(RESULT))
        await writer.drain()

    async with raw_server(slow) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 100000000"))
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < 100_000_000:
                await client.send(b"x" * 1_000_000)
                sent += 1_000_000

        uploading = spawn(upload(), name="upload")
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 50_000_000, "what the kernel's buffers and ours hold, not the upload"
        go.set()
        assert (await client.reply()).status == 200
        await cancel(uploading)


async def test_an_upload_holds_a_bounded_number_of_bytes_while_its_server_reads_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = asyncio.Event()
    started: list[Connection] = []
    bodies: list[Any] = []
    start, check = Connection.start, Upload.check

    def noted_start(self: Connection, *arguments: Any) -> None:
        started.append(self)
        start(self, *arguments)

    def noted_check(self: Upload) -> None:
        bodies.append(self._content)
        check(self)

    monkeypatch.setattr(Connection, "start", noted_start)
    monkeypatch.setattr(Upload, "check", noted_check)

    async def deaf(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await hold.wait()

    async with raw_server(deaf) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 30000000"))

        async def upload() -> None:
            for _ in range(300):
                await client.send(b"x" * 100_000)

        uploading = spawn(upload(), name="upload")

        def held() -> int:
            written = sum(c.transport.get_write_buffer_size() for c in started if c.transport is not None)
            return written + sum(int(body._size) for body in bodies)

        before = -1
        async with asyncio.timeout(20):
            while not held() or held() != before:  # until nothing moves any more
                before = held()
                await asyncio.sleep(0.2)
        assert not uploading.done(), "all of it fitted into the kernel's buffers"
        assert held() <= 1 << 20
        await cancel(uploading)
        hold.set()


# The proxy's own state.


async def test_a_key_revoked_in_the_middle_of_an_upload_ends_it(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
        while not len(proxy.house.renewals):
            await asyncio.sleep(0.01)
        raw: Any = redis_client
        await raw.hset(redis_schema.credential_key(KEY.sha256), "state", "revoked")
        await proxy.house.renewals.renew_all()
        assert (await client.reply()).status == 401
        assert await leases(redis_client) == 0


async def test_long_uploads_keep_their_lease(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.house.renewals):
            await asyncio.sleep(0.01)
        await redis_client.delete(redis_schema.leases_key(PROJECT))
        await proxy.house.renewals.renew_all()
        assert await leases(redis_client) == 1
        await client.send(b"-part")
        assert (await client.reply()).status == 200
        assert await leases(redis_client) == 0


async def test_a_drain_finishes_what_is_in_flight_and_refuses_the_rest(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.house.renewals):
            await asyncio.sleep(0.01)
        proxy.lifecycle.begin_drain("test", 20)
        reply = await ask(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(reply.headers["retry-after"]) >= 1
        await client.send(b"-part")
        reply = await client.reply()
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        async with asyncio.timeout(20):
            await proxy.lifecycle.drained()


async def test_a_drain_ends_at_its_deadline(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.house.renewals):
            await asyncio.sleep(0.01)
        proxy.lifecycle.begin_drain("test", 0.05)
        async with asyncio.timeout(20):
            await proxy.lifecycle.drained()
    assert (await final(redis_client)).audio_ms == 0
