"""The http-proxy before a real Redis and a staged STT server: what passes, what is metered, what ends it."""

import asyncio
from typing import Any

import pytest
import redis.asyncio as redis

from aldea.redis import schema
from tests.support.proxied import (
    KEY,
    KEY_ID,
    PROJECT,
    RESULT,
    call,
    client_of,
    final,
    head,
    leases,
    load_key,
    post,
    proxying,
    readings,
    well,
)
from tests.unit.http_proxy.servers import raw_server

JSON = "Content-Type: application/json"


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
        reply = await call(
            proxy, post(b"audio", public, "Content-Type: audio/wav", "X-Forwarded-For: 6.6.6.6, 9.9.9.9")
        )
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
        await call(proxy, post(b"audio", "/v1/listen?tag=a&tag=b%20c"))
        assert (await final(redis_client)).tags == ("a", "b c")


@pytest.mark.parametrize(
    ("query", "words"),
    [("tag=" + "x" * 513, "512"), ("&".join(["tag=a"] * 17), "16"), ("tag=a%09b", "U+0009"), ("t%61g=a%00", "U+0000")],
)
async def test_tags_that_break_the_rule_are_refused(redis_url: str, query: str, words: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        reply = await call(proxy, post(b"audio", f"/v1/listen?{query}"))
        assert (reply.status, reply.json["err_code"]) == (400, "Bad Request")
        assert words in reply.json["err_msg"]


@pytest.mark.parametrize("raw", [True, False], ids=["read by its bytes", "read by aiohttp"])
async def test_every_response_says_what_is_left_of_the_limits(
    redis_url: str, redis_client: redis.Redis, raw: bool
) -> None:
    more = [] if raw else ["Expect: 100-continue"]
    policy = '"project";q=2;w=60, "project-streams";q=9;qu="concurrent-requests"'
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        await load_key(redis_client, requests_per_minute=2, concurrent_streams=9)
        passed = await call(proxy, post(b"audio", "/v1/listen", *more))
        assert (passed.status, passed.headers["ratelimit-policy"]) == (200, policy)
        assert passed.headers["ratelimit"].startswith('"project";r=1;t=')
        assert passed.headers["ratelimit"].endswith('"project-streams";r=8')
        # Admitted, and refused afterwards.
        after = await call(proxy, post(b'{"url": "http://10.0.0.1/"}', "/v1/listen", JSON, *more))
        assert (after.status, after.headers["ratelimit-policy"]) == (400, policy)
        refused = await call(proxy, post(b"audio", "/v1/listen", *more))
        assert (refused.status, refused.headers["ratelimit-policy"]) == (429, '"project";q=2;w=60')
        assert refused.headers["ratelimit"] == f'"project";r=0;t={refused.headers["retry-after"]}'


async def test_a_chunked_upload_passes_chunked(redis_url: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt) as proxy:
        chunks = b"3\r\naud\r\n2\r\nio\r\n0\r\n\r\n"
        reply = await call(proxy, head("/v1/listen", "Transfer-Encoding: chunked") + chunks)
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
        reply = await call(proxy, request_bytes)
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
        reply = await call(proxy, post(body, "/v1/listen", "Content-Type: application/json"))
        assert reply.status == 200
        assert seen[0][1] == body


async def test_browsers_may_send_requests(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        request = (
            b"OPTIONS /v1/listen HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n"
            b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,timestamps\r\n\r\n"
        )
        reply = await call(proxy, request)
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-headers"] == "authorization,timestamps"
        assert "POST" in reply.headers["access-control-allow-methods"]


async def test_the_body_is_requested_only_after_admission(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy:
        async with client_of(proxy) as client:
            await client.send(head("/v1/listen", "Content-Length: 5", "Expect: 100-continue"))
            async with asyncio.timeout(60):
                assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"audio")
            assert (await client.reply()).status == 200
        refused = head("/v1/listen", "Content-Length: 5", "Expect: 100-continue", authorization="")
        assert (await call(proxy, refused)).status == 401


# The proxy's own state.


async def test_a_key_revoked_in_the_middle_of_an_upload_ends_it(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 1000") + b"audio")
        while not len(proxy.resources.renewals):
            await asyncio.sleep(0.01)
        raw: Any = redis_client
        await raw.hset(schema.credential_key(KEY.sha256), "state", "revoked")
        await proxy.resources.renewals.renew_all()
        assert (await client.reply()).status == 401
        assert await leases(redis_client) == 0


async def test_long_uploads_keep_their_lease(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.resources.renewals):
            await asyncio.sleep(0.01)
        await redis_client.delete(schema.leases_key(PROJECT))
        await proxy.resources.renewals.renew_all()
        assert await leases(redis_client) == 1
        await client.send(b"-part")
        assert (await client.reply()).status == 200
        assert await leases(redis_client) == 0


async def test_a_drain_finishes_what_is_in_flight_and_refuses_the_rest(redis_url: str) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.resources.renewals):
            await asyncio.sleep(0.01)
        proxy.lifecycle.begin_drain("test", 20)
        reply = await call(proxy, post())
        assert (reply.status, reply.json["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(reply.headers["retry-after"]) >= 1
        await client.send(b"-part")
        reply = await client.reply()
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        async with asyncio.timeout(60):
            await proxy.lifecycle.drained()


async def test_a_drain_ends_at_its_deadline(redis_url: str, redis_client: redis.Redis) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt) as proxy, client_of(proxy) as client:
        await client.send(head("/v1/listen", "Content-Length: 10") + b"audio")
        while not len(proxy.resources.renewals):
            await asyncio.sleep(0.01)
        proxy.lifecycle.begin_drain("test", 0.05)
        async with asyncio.timeout(60):
            await proxy.lifecycle.drained()
    assert (await final(redis_client)).audio_ms == 0
