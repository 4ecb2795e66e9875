"""Streams that ws_proxy refuses, all before the upgrade: each in the contract's shape, none consumes anything."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSServerHandshakeError

from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM, leases_key, metered_key, used_key
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import Customer, Service, eventually, final_of, raw_connection, running
from tests.support.streams import PCM, SECOND, heard, listen, no_leases, refused


async def kept(redis_client: redis.Redis) -> list[str]:
    """What is in Redis, but for what the proxy reports of itself."""
    return sorted(name for name in map(str, await redis_client.keys()) if not name.startswith("fleet:"))


@pytest.mark.parametrize("case", ["none", "unknown", "malformed", "revoked", "expired"])
async def test_every_bad_credential_looks_the_same_and_consumes_nothing(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, case: str
) -> None:
    headers = dict(customer.headers)
    if case == "none":
        headers = {}
    elif case == "unknown":
        headers = {"Authorization": "Token org_" + "x" * 38}
    elif case == "malformed":
        headers = {"Authorization": "Basic abc"}
    elif case == "revoked":
        await customer.write(key_state="revoked")
    else:
        await customer.write(expires_ms=1)
    before = await kept(redis_client)
    status, response_headers, body = await refused(http, proxy, headers=headers)
    assert status == 401
    assert body["err_code"] == "INVALID_AUTH"
    assert body["request_id"] == response_headers["dg-request-id"]
    assert response_headers["dg-error"].startswith("INVALID_AUTH")
    assert await kept(redis_client) == before
    assert stt.requests == []


async def test_a_key_that_redis_does_not_know_yet_is_503_and_not_401(
    http: ClientSession, proxy: Service, stt: FakeStt, redis_client: redis.Redis
) -> None:
    stranger = Customer(redis_client)
    status, headers, body = await refused(http, proxy, headers=stranger.headers)
    assert (status, body["err_code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(headers["Retry-After"]) >= 1


async def test_a_key_without_the_scope_is_403(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    await customer.write(scopes=frozenset({"usage:read"}))
    status, _, body = await refused(http, proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (403, "INSUFFICIENT_PERMISSIONS")


async def test_the_concurrency_limit_is_429_and_names_itself(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    await customer.write(concurrent_streams=1)
    async with listen(http, proxy, customer) as socket:
        status, headers, body = await refused(http, proxy, headers=customer.headers)
        assert (status, body["err_code"]) == (429, "TOO_MANY_REQUESTS")
        assert "concurrent" in body["err_msg"].lower()
        assert int(headers["Retry-After"]) >= 1
        assert await customer.leases() == 1
        await socket.send_str('{"type":"CloseStream"}')
        await heard(socket)
    await eventually(lambda: no_leases(customer))
    async with listen(http, proxy, customer) as socket:
        await socket.close()


def _is_of(customer: Customer, but_of: frozenset[str], reading: dict[str, Any]) -> bool:
    """Whether a reading is this customer's. (The proxy may still write that of a stream of the test before.)"""
    return reading["project_id"] == customer.project_id and reading["request_id"] not in but_of


async def contents(
    client: redis.Redis, customer: Customer, *, but_of: frozenset[str] = frozenset()
) -> dict[str, object]:
    """All that the refusal of a request could have moved: its project's rate, leases and use, and the readings.

    `but_of`: requests that run, whose renewals write as well.
    """
    leases = leases_key(customer.project_id)
    held: Any = await client.zrange(leases, 0, -1, withscores=True)
    written: Any = await client.xrange(USAGE_STREAM)
    kept: dict[str, object] = {
        leases: [lease for lease in held if lease[0] not in but_of],
        USAGE_STREAM: [entry for entry in written if _is_of(customer, but_of, json.loads(entry[1][USAGE_FIELD]))],
    }
    for pattern in (
        f"rate:{customer.project_id}",
        used_key(customer.project_id, "*"),
        metered_key("*"),
    ):
        async for key in client.scan_iter(pattern):
            if key not in map(metered_key, but_of):
                kept[key] = await client.get(key) if await client.type(key) == "string" else await client.hgetall(key)
    return kept


@pytest.mark.parametrize("limit", ["requests_per_minute", "concurrent_streams", "monthly_audio_ms"])
async def test_a_request_refused_by_a_limit_consumes_nothing(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, limit: str
) -> None:
    limits: dict[str, Any] = {limit: 1}
    await customer.write(**limits)
    async with listen(http, proxy, customer) as socket:
        runs: frozenset[str] = frozenset()
        if limit == "concurrent_streams":  # it goes on, and has sent nothing that its renewals could book
            held: Any = await redis_client.zrange(leases_key(customer.project_id), 0, -1)
            runs = frozenset(held)
            assert len(runs) == 1
        else:
            await socket.send_bytes(SECOND)
            await socket.send_str('{"type":"CloseStream"}')
            await heard(socket)
            await final_of(redis_client, project_id=customer.project_id)
        requests = len(stt.requests)
        before = await contents(redis_client, customer, but_of=runs)
        for _ in range(3):
            assert (await refused(http, proxy, headers=customer.headers))[0] in {402, 429}
        assert await contents(redis_client, customer, but_of=runs) == before
        assert len(stt.requests) == requests


async def test_two_processes_that_race_share_one_projects_limit(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, tmp_path: Path, redis_server: Process
) -> None:
    await customer.write(concurrent_streams=5)
    with running(
        "ws_proxy",
        tmp_path / "second",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=stt.url,
    ) as second:
        outcomes = await asyncio.gather(
            *(listen(http, (proxy, second)[n % 2], customer) for n in range(40)), return_exceptions=True
        )
        opened = [found for found in outcomes if isinstance(found, ClientWebSocketResponse)]
        refused = [found.status for found in outcomes if isinstance(found, WSServerHandshakeError)]
        assert (len(opened), refused) == (5, [429] * 35)
        assert await customer.leases() == 5
        for socket in opened:
            await socket.send_str('{"type":"CloseStream"}')
            await heard(socket)


async def test_the_request_rate_is_429(http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer) -> None:
    await customer.write(requests_per_minute=2)
    for left in (1, 0):
        async with listen(http, proxy, customer) as socket:
            assert socket._response.headers["RateLimit-Policy"] == '"project";q=2;w=60'
            assert socket._response.headers["RateLimit"].startswith(f'"project";r={left};t=')
            await socket.close()
    status, headers, body = await refused(http, proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (429, "TOO_MANY_REQUESTS")
    assert 1 <= int(headers["Retry-After"]) <= 60
    assert headers["RateLimit"] == f'"project";r=0;t={headers["Retry-After"]}'
    assert "limit of 2 requests a minute" in body["err_msg"]


async def test_an_exhausted_quota_is_402(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    await customer.write(monthly_audio_ms=1000)
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await socket.send_str('{"type":"CloseStream"}')
        await heard(socket)
    await final_of(redis_client, project_id=customer.project_id)
    status, _, body = await refused(http, proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (402, "ASR_PAYMENT_REQUIRED")


@pytest.mark.parametrize(
    ("query", "headers", "status", "words"),
    [
        ("callback=http%3A%2F%2Fx", {}, 400, "callback"),
        ("tag=" + "x" * 513, {}, 400, "512"),
        ("&".join(["tag=a"] * 17), {}, 400, "16"),
        ("tag=a%09b", {}, 400, "U+0009"),
        (PCM, {"Content-Length": "4"}, 400, "body"),
        (PCM, {"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
        (PCM, {"Sec-WebSocket-Version": "8"}, 426, "Version"),
        (PCM, {"Origin": "https://evil.example"}, 403, "evil.example"),
    ],
)
async def test_an_upgrade_that_cannot_be_is_refused_with_its_reason(
    proxy: Service, stt: FakeStt, customer: Customer, query: str, headers: dict[str, str], status: int, words: str
) -> None:
    given = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **customer.headers,
        **headers,
    }
    async with raw_connection(proxy.port) as (reader, writer):
        lines = [f"GET /v1/listen?{query} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        body = "abcd" if "Content-Length" in headers else ""
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
        assert f" {status} " in head.split("\r\n")[0]
        assert words.lower() in (head + (await reader.read(2000)).decode()).lower()
    assert stt.requests == []


async def test_a_good_origin_and_no_origin_may_connect(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    async with http.ws_connect(
        f"{proxy.url}/v1/listen", headers=customer.headers, origin="https://good.example"
    ) as socket:
        await socket.close()


async def test_plain_get_says_how_to_connect(http: ClientSession, proxy: Service, customer: Customer) -> None:
    async with http.get(f"{proxy.url}/v1/listen", headers=customer.headers) as response:
        assert response.status == 426
        assert "WebSocket" in (await response.json())["err_msg"]


async def test_what_is_no_http_is_400_in_the_contracts_shape(proxy: Service) -> None:
    async with raw_connection(proxy.port) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is not http\r\n\r\n")
        response = (await asyncio.wait_for(reader.read(4000), 60)).decode()
    assert " 400 " in response.split("\r\n")[0]
    assert '"err_code": "Bad Request"' in response
    assert "dg-request-id" in response


UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def upgrade_head(proxy: Service, customer: Customer, line: str, host: str = "Host: x\r\n") -> bytes:
    """The head of the response to an upgrade with this request line."""
    authorization = f"Authorization: {customer.headers['Authorization']}\r\n"
    async with raw_connection(proxy.port) as (reader, writer):
        writer.write(f"{line}\r\n{host}{UPGRADE}{authorization}\r\n".encode())
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("GET /v1/listen HTTP/1.0", "Host: x\r\n"),
        ("HEAD /v1/listen HTTP/1.1", "Host: x\r\n"),
        ("GET /v1/listen HTTP/1.1", ""),
        ("GET /v1/listen HTTP/1.1", "Host: x\r\nHost: x\r\n"),
    ],
)
async def test_an_upgrade_that_is_none_of_http_1_1_is_400_and_consumes_nothing(
    proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, line: str, host: str
) -> None:
    before = await contents(redis_client, customer)
    head = await upgrade_head(proxy, customer, line, host)
    assert head.split(b" ", 2)[1] == b"400"
    assert b"\r\nServer: aldea\r\n" in head
    assert await contents(redis_client, customer) == before
    assert stt.requests == []


@pytest.mark.parametrize(
    "path",
    ["/v1/%6cisten", "/v1/listen/%70cm", "/v1%2Flisten", "/v1//listen", "/v1/./listen", "/V1/listen", "/v1/listen/",
     "/%2Fv1/listen", "/v1/x/../listen", "/listen/%761"],
)  # fmt: skip
async def test_a_path_that_the_speech_server_would_not_know_is_404_before_anything_is_consumed(
    proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, path: str
) -> None:
    before = await contents(redis_client, customer)
    assert (await upgrade_head(proxy, customer, f"GET {path}?{PCM} HTTP/1.1")).startswith(b"HTTP/1.1 404 ")
    assert await contents(redis_client, customer) == before
    assert stt.requests == []


async def test_a_base_url_that_ends_in_a_slash_opens_a_stream(proxy: Service, stt: FakeStt, customer: Customer) -> None:
    head = await upgrade_head(proxy, customer, f"GET //v1/listen?{PCM} HTTP/1.1")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nServer: aldea\r\n" in head
    assert stt.requests[0].path == "/v1/listen"
    await eventually(lambda: no_leases(customer))
