"""The http-proxy and STT servers with staged faults: which server is used next, what the customer gets and pays."""

import asyncio
import gzip
import json

import pytest
import redis.asyncio as redis

from onebox.ports import free_port
from tests.support.proxied import (
    RESULT,
    call,
    call_past_a_loss,
    client_of,
    final,
    head,
    leases,
    plays,
    post,
    proxying,
    readings,
    well,
)
from tests.unit.http_proxy.servers import deaf_server, raw_server, read_head, read_request, response, silent


async def test_a_dead_server_is_passed_over(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, free_port(), stt) as proxy:
        for _ in range(5):
            assert (await call(proxy, post())).status == 200
        assert not proxy.resources.upstreams.servers[0].healthy
        assert sum(reading.audio_ms for reading in await readings(redis_client)) == 5 * 5000


async def test_a_server_whose_syns_nobody_acknowledges_is_passed_over_at_the_connect_deadline(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with raw_server(well()) as stt:
        with deaf_server() as deaf:
            async with proxying(redis_url, deaf, stt, connect_seconds=1) as proxy:
                assert (await call(proxy, post())).status == 200
            assert sum(reading.audio_ms for reading in await readings(redis_client)) == 5000
            async with proxying(redis_url, deaf, connect_seconds=0.2) as proxy:
                reply = await call(proxy, post())
                assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
                assert await leases(redis_client) == 0


async def test_without_any_server_the_response_is_502_and_nothing_is_billed(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with proxying(redis_url, free_port(), free_port()) as proxy:
        for _ in range(5):
            reply = await call(proxy, post())
            assert (reply.status, reply.json["err_code"]) == (502, "BAD_GATEWAY")
            assert int(reply.headers["retry-after"]) >= 1
        assert all(reading.audio_ms == 0 for reading in await readings(redis_client))


async def test_a_server_that_says_503_is_passed_over(redis_url: str) -> None:
    full = plays(response(b'{"err_code":"SERVICE_UNAVAILABLE"}', status="503 Full"))
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(full) as first, raw_server(well(seen)) as second:
        async with proxying(redis_url, first, second) as proxy:
            assert (await call(proxy, post())).status == 200
            assert [body for _, body in seen if body] == [b"audio"]
        async with proxying(redis_url, first) as proxy:
            assert (await call(proxy, post())).status == 503, "the last one's own word is passed on"


async def test_a_server_lost_before_it_had_the_body_is_passed_over(redis_url: str) -> None:
    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    begun = head("/v1/listen", "Content-Length: 10") + b"audio"
    reply, bodies = await call_past_a_loss(redis_url, dies, begun, b"-part")
    assert reply.status == 200
    assert bodies == [b"audio-part"]


async def test_a_server_lost_after_it_had_the_body_is_not_used_twice(redis_url: str, redis_client: redis.Redis) -> None:
    had = 0

    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal had
        had += (await read_request(reader))[0].startswith(b"POST")

    seen: list[tuple[bytes, bytes]] = []
    async with (
        raw_server(dies) as first,
        raw_server(well(seen)) as second,
        proxying(redis_url, first, second) as proxy,
    ):
        reply = await call(proxy, post())
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
async def test_a_server_that_dies_in_its_response_cuts_the_client_and_bills_nothing(
    redis_url: str, redis_client: redis.Redis, begun: bytes
) -> None:
    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(begun)
        await writer.drain()

    async with raw_server(dies) as stt, proxying(redis_url, stt) as proxy:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await call(proxy, post())
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (502, 0)
        assert await leases(redis_client) == 0


@pytest.mark.parametrize("garbage", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\x00\xff"])
async def test_a_server_that_talks_garbage_is_a_bad_gateway(
    redis_url: str, redis_client: redis.Redis, garbage: bytes
) -> None:
    async with raw_server(plays(garbage)) as stt, proxying(redis_url, stt) as proxy:
        assert (await call(proxy, post())).status == 502
        assert (await final(redis_client)).audio_ms == 0


async def test_a_server_that_refuses_the_proxys_token_is_not_the_customers_fault(redis_url: str) -> None:
    async with raw_server(plays(response(b"{}", status="401 Unauthorized"))) as stt, proxying(redis_url, stt) as proxy:
        assert (await call(proxy, post())).json["err_code"] == "BAD_GATEWAY"


async def test_the_servers_own_refusal_is_passed_on_with_one_request_id(
    redis_url: str, redis_client: redis.Redis
) -> None:
    body = b'{"err_code":"Bad Request","err_msg":"no audio","request_id":"x"}'
    async with raw_server(plays(response(body, status="400 Bad Request"))) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, post())
        request_id = reply.headers["dg-request-id"]
        assert (reply.status, reply.json) == (400, {**json.loads(body), "request_id": request_id})
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (400, 0)


async def test_a_response_before_the_whole_body_is_passed_on(redis_url: str) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(response(b'{"err_code":"Bad Request"}', status="400 Bad Request"))
        await reader.read()

    async with raw_server(early) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
        reply = await client.reply()
        assert reply.status == 400
        assert reply.headers["connection"] == "close"


async def test_a_server_that_never_responds_is_a_timeout_that_names_callback(
    redis_url: str, redis_client: redis.Redis
) -> None:
    async with raw_server(silent) as stt, proxying(redis_url, stt, first_byte_seconds=0.05) as proxy:
        reply = await call(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (504, "GATEWAY_TIMEOUT")
        assert "callback" in reply.json["err_msg"]
        assert (await final(redis_client)).status == 504


async def test_a_request_that_takes_too_long_as_a_whole_is_a_timeout(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(silent) as stt, proxying(redis_url, stt, total_seconds=0.05) as proxy:
        reply = await call(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (504, "GATEWAY_TIMEOUT")
        assert "as a whole" in reply.json["err_msg"]
        reading = await final(redis_client)
        assert (reading.status, reading.audio_ms) == (504, 0)
        assert await leases(redis_client) == 0


async def test_a_response_that_stands_still_is_cut(redis_url: str, redis_client: redis.Redis) -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        await reader.read()

    async with raw_server(stalls) as stt, proxying(redis_url, stt, answer_stall_seconds=0.05) as proxy:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await call(proxy, post())
        assert (await final(redis_client)).status == 502


async def test_a_large_response_passes_in_any_framing(redis_url: str, redis_client: redis.Redis) -> None:
    text = b'{"results":{"x":"' + b"y" * 3_000_000 + b'"},"metadata":{"duration":1,"channels":1}}'
    framed = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (text[:1_000_000], text[1_000_000:])) + b"0\r\n\r\n"
    for reply in (response(text), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed):
        await redis_client.flushall()
        async with raw_server(plays(reply)) as stt, proxying(redis_url, stt) as proxy:
            assert (await call(proxy, post())).body == text
            assert (await final(redis_client)).audio_ms == 1000
            old = head("/v1/listen", "Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/1.0") + b"audio"
            assert (await call(proxy, old)).body == text


async def test_a_response_that_comes_byte_by_byte_is_metered(redis_url: str, redis_client: redis.Redis) -> None:
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
        assert (await call(proxy, post())).body == RESULT
        assert (await final(redis_client)).audio_ms == 5000


async def test_a_compressed_response_passes_as_it_came_and_is_metered(
    redis_url: str, redis_client: redis.Redis
) -> None:
    body = gzip.compress(RESULT)
    seen: list[tuple[bytes, bytes]] = []
    compressed = plays(response(body, headers=b"Content-Encoding: gzip\r\n"), seen)
    async with raw_server(compressed) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, post(b"audio", "/v1/listen", "Accept-Encoding: gzip, br"))
        assert b"\r\nAccept-Encoding: identity\r\n" in seen[0][0], "it was not requested"
        assert (reply.headers["content-encoding"], reply.body) == ("gzip", body)
        assert (await final(redis_client)).audio_ms == 5000
