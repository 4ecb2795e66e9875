"""ws_proxy as a real process, before a real Redis, with an STT server whose faults are staged."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosedError

from aldea.redis_schema import USAGE_STREAM, leases_key, rate_key, used_key
from aldea.usage import Rank
from onebox.process import Process, free_port
from tests.fakes.stt import FakeStt
from tests.integration.proxies import Customer, Service, eventually, final_of, raw_connection, readings, running

SECOND = b"\1\0" * 16_000
PCM = "encoding=linear16&sample_rate=16000"


@pytest.fixture(scope="module")
def proxy_settings() -> dict[str, str]:
    return {
        "STT_UPSTREAM_TOKEN": "upstream-secret",
        "LANE": "live1",
        "RENEW_SECONDS": "0.2",
        "UPSTREAM_ANSWER_SECONDS": "2",
        "ALLOWED_ORIGINS": "https://good.example",
    }


@pytest.fixture
async def customer(redis_client: redis.Redis) -> Customer:
    return await Customer(redis_client).write()


def listen(http: ClientSession, proxy: Service, customer: Customer, query: str = PCM, path: str = "/v1/listen") -> Any:
    return http.ws_connect(f"{proxy.url}{path}?{query}", headers=customer.headers, max_msg_size=0)


async def heard(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Every JSON message until the end."""
    return [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]


# What a customer gets.


async def test_a_stream_carries_audio_and_words_and_leaves_one_exact_bill(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer, f"{PCM}&tag=a&tag=b") as socket:
        request_id = socket._response.headers["dg-request-id"]
        await socket.send_bytes(SECOND)
        await socket.send_bytes(SECOND[:16_000])
        await socket.send_str('{"type":"KeepAlive"}')
        await socket.send_str('{"type":"CloseStream"}')
        messages = await heard(socket)
    assert [message["type"] for message in messages] == ["Metadata", "Results", "Results", "Results", "Metadata"]
    assert socket.close_code == 1000
    assert stt.texts == ['{"type":"KeepAlive"}', "CloseStream"]
    assert stt.requests[0].headers["dg-request-id"] == request_id
    assert stt.requests[0].headers["X-Forwarded-For"] == "127.0.0.1"
    assert stt.requests[0].headers["Authorization"] == "Token upstream-secret"
    assert customer.key.text not in str(stt.requests[0].headers)
    assert stt.requests[0].query_string == f"{PCM}&tag=a&tag=b"

    final = await final_of(redis_client, project_id=customer.project_id)
    assert final.request_id == request_id
    assert (final.audio_ms, final.audio_source, final.channels) == (1500, "stt", 1)
    assert (final.project_id, final.key_id) == (customer.project_id, customer.key_id)
    assert (final.status, final.close_code, final.lane, final.path) == (101, 1000, "live1", "/v1/listen")
    assert final.tags == ("a", "b")
    opening = (await readings(redis_client))[0]
    assert (opening.rank, opening.request_id, opening.started_ms) == (Rank.OPEN, request_id, final.started_ms)
    assert await customer.leases() == 0


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/v1/listen", "/v1/listen"),
        ("/listen/v1", "/v1/listen"),
        ("/v1/listen/pcm", "/v1/listen/pcm"),
        ("/listen/v1/pcm", "/v1/listen/pcm"),
    ],
)
async def test_both_spellings_of_a_path_reach_the_servers_own(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, path: str, own: str
) -> None:
    async with listen(http, proxy, customer, "a=%20x&b=1%252F", path) as socket:
        await socket.send_str('{"type":"CloseStream"}')
        await heard(socket)
    assert stt.requests[0].rel_url.raw_path == own
    assert stt.requests[0].rel_url.raw_query_string == "a=%20x&b=1%252F"


@pytest.mark.parametrize("what", ["key", "token"])
@pytest.mark.parametrize("word", ["token", "bearer"])
async def test_every_form_of_a_credential_opens_a_stream_and_a_browsers_gets_only_its_first_word_back(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, word: str, what: str
) -> None:
    text = customer.key.text if what == "key" else await customer.token()
    url = f"{proxy.url}/v1/listen"
    async with (
        http.ws_connect(url, protocols=(word, text)) as browser,
        http.ws_connect(url, headers={"Authorization": f"{word.title()} {text}"}) as sdk,
    ):
        assert (browser.protocol, sdk.protocol) == (word, None)
        for socket in (browser, sdk):
            assert text not in str(socket._response.headers)
            await socket.send_str('{"type":"CloseStream"}')
            await heard(socket)
    assert text not in str([dict(request.headers) for request in stt.requests])
    assert text not in proxy.logged()


async def test_a_client_that_offers_compression_is_declined_and_served(
    proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    url = f"ws://127.0.0.1:{proxy.port}/v1/listen?{PCM}"
    async with websockets_connect(url, additional_headers=customer.headers, compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        await socket.send(SECOND)
        await (await socket.ping())
        await socket.send('{"type":"CloseStream"}')
        types = [json.loads(message)["type"] async for message in socket]
    assert types[-1] == "Metadata"
    assert socket.close_code == 1000


async def test_two_streams_at_once_are_billed_apart(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as one, listen(http, proxy, customer) as two:
        await one.send_bytes(SECOND)
        await two.send_bytes(SECOND * 2)
        for socket in (one, two):
            await socket.send_str('{"type":"CloseStream"}')
            await heard(socket)
    bills = {
        (await final_of(redis_client, socket._response.headers["dg-request-id"])).audio_ms for socket in (one, two)
    }
    assert bills == {1000, 2000}


# Refusals, all before the upgrade.


async def refused(
    http: ClientSession,
    proxy: Service,
    query: str = PCM,
    headers: dict[str, str] | None = None,
    path: str = "/v1/listen",
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and body of a refused upgrade; of one that was let in all the same, no body."""
    async with http.get(
        f"{proxy.url}/v1/listen?{query}",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **(headers or {}),
        },
    ) as answer:
        body = {} if answer.status == 101 else await answer.json()
        return answer.status, dict(answer.headers), body


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
    before = sorted(await redis_client.keys())
    status, answered, body = await refused(http, proxy, headers=headers)
    assert status == 401
    assert body["err_code"] == "INVALID_AUTH"
    assert body["request_id"] == answered["dg-request-id"]
    assert answered["dg-error"].startswith("INVALID_AUTH")
    assert sorted(await redis_client.keys()) == before
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
    await eventually(lambda: _no_leases(customer))
    async with listen(http, proxy, customer) as socket:
        await socket.close()


async def _no_leases(customer: Customer) -> bool:
    return await customer.leases() == 0


async def contents(client: redis.Redis, customer: Customer) -> dict[str, object]:
    """All that the refusal of a request could have moved: its project's rate, leases and use, and the readings."""
    leases = leases_key(customer.project_id)
    kept: dict[str, object] = {leases: await client.zrange(leases, 0, -1, withscores=True)}
    kept[USAGE_STREAM] = await client.xrange(USAGE_STREAM)
    for pattern in (
        rate_key(customer.project_id),
        used_key(customer.project_id, "*"),
        "metered:*",
    ):
        async for key in client.scan_iter(pattern):
            kept[key] = await client.get(key) if await client.type(key) == "string" else await client.hgetall(key)
    return kept


@pytest.mark.parametrize("limit", ["requests_per_minute", "concurrent_streams", "monthly_audio_ms"])
async def test_a_request_refused_by_a_limit_consumes_nothing(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, limit: str
) -> None:
    limits: dict[str, Any] = {limit: 1}
    await customer.write(**limits)
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        if limit != "concurrent_streams":
            await socket.send_str('{"type":"CloseStream"}')
            await heard(socket)
            await final_of(redis_client, project_id=customer.project_id)
        asked = len(stt.requests)
        before = await contents(redis_client, customer)
        for _ in range(3):
            assert (await refused(http, proxy, headers=customer.headers))[0] in {402, 429}
        assert await contents(redis_client, customer) == before
        assert len(stt.requests) == asked


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
    for _ in range(2):
        async with listen(http, proxy, customer) as socket:
            await socket.close()
    status, headers, body = await refused(http, proxy, headers=customer.headers)
    assert (status, body["err_code"]) == (429, "TOO_MANY_REQUESTS")
    assert 1 <= int(headers["Retry-After"]) <= 60


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
        ("tag=" + "x" * 600, {}, 400, "tag"),
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
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
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
    async with http.get(f"{proxy.url}/v1/listen", headers=customer.headers) as answer:
        assert answer.status == 426
        assert "WebSocket" in (await answer.json())["err_msg"]


async def test_what_is_no_http_is_400_in_the_contracts_shape(proxy: Service) -> None:
    async with raw_connection(proxy.port) as (reader, writer):
        writer.write(b"\x16\x03\x01 this is not http\r\n\r\n")
        answer = (await asyncio.wait_for(reader.read(4000), 5)).decode()
    assert " 400 " in answer.split("\r\n")[0]
    assert '"err_code": "Bad Request"' in answer
    assert "dg-request-id" in answer


# The STT server's faults.


@pytest.mark.parametrize(
    ("fault", "status", "err_code"),
    [
        ("500", 502, "BAD_GATEWAY"),
        ("wrong-key", 502, "BAD_GATEWAY"),
        ("garbage", 502, "BAD_GATEWAY"),
        ("no-answer", 504, "GATEWAY_TIMEOUT"),
        ("busy", 503, "SERVICE_UNAVAILABLE"),
        ("bad-parameters", 400, "Bad Request"),
    ],
)
async def test_a_server_that_does_not_take_the_stream_is_a_clear_refusal_and_booked_without_audio(
    http: ClientSession,
    proxy: Service,
    stt: FakeStt,
    customer: Customer,
    redis_client: redis.Redis,
    fault: str,
    status: int,
    err_code: str,
) -> None:
    found, headers, body = await refused(http, proxy, f"fault={fault}", headers=customer.headers)
    assert (found, body["err_code"]) == (status, err_code)
    if fault == "busy":
        assert headers["Retry-After"] == "7"
    if fault == "bad-parameters":
        assert body["err_msg"] == "sample_rate: got 7"
    final = await final_of(redis_client, headers["dg-request-id"])
    assert (final.status, final.audio_ms, final.close_code) == (status, 0, None)
    assert await customer.leases() == 0
    # The fault was staged for one stream: let the circuit see a good one again.
    async with listen(http, proxy, customer) as socket:
        await socket.close()


async def test_without_any_server_it_is_503_and_with_a_fallback_the_customer_sees_nothing(
    http: ClientSession, redis_server: Process, stt: FakeStt, customer: Customer, tmp_path: Path
) -> None:
    env = {"REDIS_URL": redis_server.url, "STT_UPSTREAMS": f"http://127.0.0.1:{free_port()}"}  # type: ignore[attr-defined]
    with running("ws_proxy", tmp_path / "log", **env) as alone:
        status, headers, body = await refused(http, alone, headers=customer.headers)
        assert (status, body["err_code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(headers["Retry-After"]) >= 1
    env["STT_UPSTREAMS"] += f",{stt.url}"
    with running("ws_proxy", tmp_path / "log2", **env) as fallback:
        for _ in range(5):
            async with listen(http, fallback, customer) as socket:
                await socket.close()
        async with http.get(f"{fallback.url}/readyz") as answer:
            assert answer.status == 200


async def test_a_server_that_dies_mid_stream_is_1011_and_what_it_heard_is_billed(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer, f"{PCM}&fault=die") as socket:
        await socket.send_bytes(SECOND)
        await heard(socket)
        assert socket.close_code == 1011
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms, final.audio_source) == (1011, 1000, "pcm")
    assert await customer.leases() == 0


async def test_a_server_that_sends_garbage_is_1011(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    async with listen(http, proxy, customer, "fault=garbage-later") as socket:
        await heard(socket)
        assert socket.close_code == 1011


async def test_the_close_code_and_reason_of_the_server_reach_the_client(
    proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    url = f"ws://127.0.0.1:{proxy.port}/v1/listen?fault=close"
    async with websockets_connect(url, additional_headers=customer.headers) as socket:
        await socket.send(SECOND)
        with pytest.raises(ConnectionClosedError):
            while True:
                await socket.recv()
    assert (socket.close_code, socket.close_reason) == (1008, "DATA-0000 undecodable")


# The client's ways to go.


async def test_the_close_code_of_the_client_reaches_the_server_after_it_could_finish(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await socket.receive()
        await socket.close(code=4001, message=b"bye")
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms, final.audio_source) == (4001, 1000, "stt")
    assert stt.texts == ["CloseStream"]
    await eventually(lambda: stt.close_codes == [4001])


async def test_a_client_that_vanishes_between_messages_is_billed_what_the_server_heard(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer, f"{PCM}&fault=mute") as socket:
        await socket.send_bytes(SECOND * 2)
        await eventually(lambda: stt.audio_bytes == len(SECOND) * 2)
        socket._response.connection.transport.abort()
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms, final.audio_source) == (1006, 2000, "stt")
    assert stt.texts == ["CloseStream"]
    await eventually(lambda: _no_leases(customer))


async def test_a_client_that_vanishes_mid_message_leaves_no_lease_and_a_bill(
    proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with raw_connection(proxy.port) as (reader, writer):
        writer.write(
            f"GET /v1/listen?{PCM} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Authorization: Token {customer.key.text}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        writer.write(b"\x82\xfe\x7d\x00\0\0\0\0" + SECOND[:1000])
        await writer.drain()
        await eventually(lambda: stt.open == 1)
    final = await final_of(redis_client, project_id=customer.project_id)
    assert final.close_code == 1006
    await eventually(lambda: _no_leases(customer))
    await eventually(lambda: stt.open == 0)


async def test_a_protocol_violation_closes_both_sides_with_1002_and_is_metered(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await socket.receive()
        await socket.receive()
        socket._response.connection.transport.write(b"\x83\x80\0\0\0\0")
        await heard(socket)
        assert socket.close_code == 1002
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms) == (1002, 1000)
    await eventually(lambda: stt.close_codes == [1002])


async def test_a_message_over_the_cap_closes_with_1009(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(b"\0" * ((1 << 20) + 1))
        await heard(socket)
        assert socket.close_code == 1009


# What the platform does to a running stream.


async def test_a_revoked_keys_stream_ends_with_1008_and_its_audio_is_billed(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await socket.receive()
        await customer.write(key_state="revoked")
        await asyncio.wait_for(heard(socket), 10)
        assert socket.close_code == 1008
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms, final.audio_source) == (1008, 1000, "stt")


async def test_a_stream_that_exhausts_its_quota_ends_with_1008(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    await customer.write(monthly_audio_ms=500)
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await asyncio.wait_for(heard(socket), 10)
        assert socket.close_code == 1008
    final = await final_of(redis_client, project_id=customer.project_id)
    month = [key async for key in redis_client.scan_iter(used_key(customer.project_id, "*"))]
    assert len(month) == 1
    assert await redis_client.get(month[0]) == str(final.audio_ms) == "1000"


async def test_checkpoints_rise_while_a_stream_runs(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await eventually(lambda: _checkpoints(redis_client, 3))
        await socket.close()
    final = await final_of(redis_client, project_id=customer.project_id)
    orders = [reading.order for reading in await readings(redis_client)]
    assert orders == sorted(orders)
    assert orders[-1] == final.order
    assert (await readings(redis_client))[-2].audio_ms == 1000


async def _checkpoints(store: redis.Redis, number: int) -> bool:
    return len([reading for reading in await readings(store) if reading.seq > 0]) >= number


async def test_a_drain_finishes_every_stream_and_closes_it_with_1012(
    http: ClientSession,
    redis_server: Process,
    stt: FakeStt,
    customer: Customer,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    env = {
        "REDIS_URL": redis_server.url,  # type: ignore[attr-defined]
        "STT_UPSTREAMS": stt.url,
        "DRAIN_SECONDS": "6",
        "DRAIN_FINISH_SECONDS": "2",
        "CLOSE_SECONDS": "1",
        "BOUNDARY_SECONDS": "1",
    }
    with running("ws_proxy", tmp_path / "log", **env) as leaving:
        sockets = [await listen(http, leaving, customer) for _ in range(8)]
        for index, socket in enumerate(sockets):
            await socket.send_bytes(SECOND * (index + 1))
        leaving.process.signal(leaving.process.spec.stop_signal)

        async def draining() -> bool:
            async with http.get(f"{leaving.url}/healthz") as answer:
                return answer.status == 503

        await eventually(draining)  # before that a new stream would still be taken
        assert (await refused(http, leaving, headers=customer.headers))[0] == 503
        for socket in sockets:
            messages = await asyncio.wait_for(heard(socket), 15)
            assert [message["type"] for message in messages[-2:]] == ["Results", "Metadata"]
            assert messages[-2]["channel"]["alternatives"][0]["transcript"] == "last words"
            assert socket.close_code == 1012
        assert await asyncio.to_thread(leaving.process.wait, 15) == 0
    for index, socket in enumerate(sockets):
        final = await final_of(redis_client, socket._response.headers["dg-request-id"])
        assert (final.close_code, final.audio_ms) == (1012, 1000 * (index + 1))
    assert await customer.leases() == 0


async def test_a_killed_process_frees_its_slots_within_the_leases_ttl(
    http: ClientSession, redis_server: Process, stt: FakeStt, customer: Customer, proxy: Service, tmp_path: Path
) -> None:
    await customer.write(concurrent_streams=1)
    env = {
        "REDIS_URL": redis_server.url,  # type: ignore[attr-defined]
        "STT_UPSTREAMS": stt.url,
        "LEASE_TTL_SECONDS": "1",
        "RENEW_SECONDS": "0.2",
    }
    with running("ws_proxy", tmp_path / "log", **env) as doomed:
        socket = await listen(http, doomed, customer)
        assert (await refused(http, proxy, headers=customer.headers))[0] == 429
        doomed.process.kill()
        await heard(socket)

    async def admitted() -> bool:
        with suppress(WSServerHandshakeError):
            async with listen(http, proxy, customer) as another:
                await another.close()
                return True
        return False

    await eventually(admitted)


async def test_nothing_secret_is_in_the_log(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.close(code=1000)
    final = await final_of(redis_client, project_id=customer.project_id)
    await eventually(lambda: final.request_id in proxy.logged())
    ended = next(json.loads(line) for line in proxy.logged().splitlines() if final.request_id in line)
    assert (ended["event"], ended["close_code"], ended["lane"]) == ("stream ended", 1000, "live1")
    assert customer.key.text not in proxy.logged()
    assert "upstream-secret" not in proxy.logged()
