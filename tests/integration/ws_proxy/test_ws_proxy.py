"""ws_proxy as a real process, before a real Redis, with an STT server whose faults are staged."""

import asyncio
import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, WSServerHandshakeError
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosedError

from aldea.redis.schema import leases_key, used_key
from aldea.usage.reading import Rank
from benchmarks.socket_clocks import PATIENCE_SECONDS, Caller, WordsOnDemand
from onebox.ports import free_port
from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.support.proxies import Customer, Service, eventually, final_of, raw_connection, readings, running
from tests.support.streams import PCM, SECOND, heard, listen, no_leases, refused

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
    opening = (await readings(redis_client, project_id=customer.project_id))[0]
    assert (opening.rank, opening.request_id, opening.started_ms) == (Rank.OPEN, request_id, final.started_ms)
    assert await customer.leases() == 0


async def test_the_time_to_first_words_agrees_with_the_clocks_of_both_ends(
    proxy: Service, stt_port: int, customer: Customer, redis_client: redis.Redis
) -> None:
    """All clocks are one; the proxy's interval lies within its client's, and around the server's, on any machine."""
    with WordsOnDemand(stt_port) as server:
        callers = [Caller(proxy.port, f"/v1/listen?{PCM}", f"Token {customer.key.text}") for _ in range(3)]
        for caller in callers:
            caller.speak.clear()
            caller.start()
            assert await asyncio.to_thread(caller.opened.wait, PATIENCE_SECONDS)
        # What passes before the first audio, and after the words, is nobody's time to words.
        await asyncio.sleep(0.3)
        for number, caller in enumerate(callers):
            caller.speak.set()
            served = server.stream(caller.request_id)
            assert await asyncio.to_thread(served.heard.wait, PATIENCE_SECONDS)
            await asyncio.sleep(0.1 * number)
            served.say.set()
        for caller in callers:
            await asyncio.to_thread(caller.join, PATIENCE_SECONDS)

        def line_of(request_id: str) -> dict[str, Any] | None:
            lines = [json.loads(line) for line in proxy.logged().splitlines() if '"first_word_ms"' in line]
            return next((line for line in lines if line["request_id"] == request_id), None)

        for caller in callers:
            served, seen = server.streams[caller.request_id], caller.seen
            assert seen is not None
            final = await final_of(redis_client, caller.request_id)
            assert final.first_word_ms is not None
            # It is rounded to a millisecond.
            assert 1000 * served.seconds - 0.5 <= final.first_word_ms <= 1000 * seen.seconds + 0.5
            line = await eventually(partial(line_of, caller.request_id))
            assert (line["first_word_ms"], line["lane"]) == (final.first_word_ms, final.lane)
            assert line["upstream"] == f"127.0.0.1:{stt_port}"


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


# The STT server's faults.


@pytest.mark.parametrize(
    ("wait", "sent"), [("9" * 400, "86400"), ("9" * 5000, "86400"), ("-1", "2"), ("soon", "2"), ("\u0663", "2")]
)
async def test_a_busy_servers_absurd_retry_after_is_bounded(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, wait: str, sent: str
) -> None:
    found, headers, _ = await refused(http, proxy, f"fault=busy&wait={quote(wait)}", headers=customer.headers)
    assert (found, headers["Retry-After"]) == (503, sent)


@pytest.mark.parametrize(
    ("fault", "status", "err_code"),
    [
        ("500", 502, "BAD_GATEWAY"),
        ("wrong-key", 502, "BAD_GATEWAY"),
        ("garbage", 502, "BAD_GATEWAY"),
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
        assert body["err_msg"] == "sample_rate: got 7 See /docs/errors#bad-request"
    final = await final_of(redis_client, headers["dg-request-id"])
    assert (final.status, final.audio_ms, final.close_code) == (status, 0, None)
    assert await customer.leases() == 0
    # The fault was staged for one stream: let the circuit see a good one again.
    async with listen(http, proxy, customer) as socket:
        await socket.close()


async def test_a_server_that_does_not_respond_is_504_and_booked_without_audio(
    http: ClientSession,
    redis_server: Process,
    stt: FakeStt,
    customer: Customer,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    url: str = redis_server.url  # type: ignore[attr-defined]
    env = {"REDIS_URL": url, "STT_UPSTREAMS": stt.url, "UPSTREAM_ANSWER_SECONDS": "0.5"}
    with running("ws_proxy", tmp_path / "log", **env) as impatient:
        status, headers, body = await refused(http, impatient, "fault=no-response", headers=customer.headers)
    assert (status, body["err_code"]) == (504, "GATEWAY_TIMEOUT")
    final = await final_of(redis_client, headers["dg-request-id"])
    assert (final.status, final.audio_ms, final.close_code) == (504, 0, None)
    assert await customer.leases() == 0


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
        async with http.get(f"{fallback.url}/readyz") as health_check:
            assert health_check.status == 200


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
    await eventually(lambda: no_leases(customer))


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
    await eventually(lambda: no_leases(customer))
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


# Turn-based streams.

TURNS = "/v2/listen"


async def test_turns_are_passed_on_as_they_came_and_billed_by_their_windows(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    # A container: only the server knows how long it is.
    async with listen(http, proxy, customer, "model=flux-general-en", TURNS) as socket:
        for _ in range(2):
            await socket.send_bytes(SECOND)
        assert json.loads(await socket.receive_str())["type"] == "Metadata"
        turns = [json.loads(await socket.receive_str()) for _ in range(2)]
        await socket.close()
    assert stt.requests[0].path == TURNS
    assert [turn["audio_window_end"] for turn in turns] == [1.0, 2.0]
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.path, final.audio_ms, final.audio_source) == (TURNS, 2000, "stt")


async def test_a_turn_based_stream_that_loses_its_server_is_closed_with_1011(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer, f"model=flux-general-en&{PCM}&fault=die", TURNS) as socket:
        await socket.send_bytes(SECOND)
        await heard(socket)
        assert socket.close_code == 1011
    assert len(stt.requests) == 1  # no other server could go on with its turns
    assert (await final_of(redis_client, project_id=customer.project_id)).failovers == 0


async def test_a_revoked_keys_turns_end_with_1008(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    async with listen(http, proxy, customer, f"model=flux-general-en&{PCM}", TURNS) as socket:
        await socket.send_bytes(SECOND)
        await customer.write(key_state="revoked")
        await asyncio.wait_for(heard(socket), 60)
        assert socket.close_code == 1008


# What the platform does to a running stream.


async def test_a_revoked_keys_stream_ends_with_1008_and_its_audio_is_billed(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await socket.receive()
        await socket.receive()  # its words: the audio has arrived
        await customer.write(key_state="revoked")
        await asyncio.wait_for(heard(socket), 60)
        assert socket.close_code == 1008
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms, final.audio_source) == (1008, 1000, "stt")


async def test_a_stream_that_exhausts_its_quota_ends_with_1008(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    await customer.write(monthly_audio_ms=500)
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)
        await asyncio.wait_for(heard(socket), 60)
        assert socket.close_code == 1008
    final = await final_of(redis_client, project_id=customer.project_id)
    used = [
        int(await redis_client.get(key) or 0)
        async for key in redis_client.scan_iter(used_key(customer.project_id, "*"))
    ]
    assert used == [final.audio_ms] == [1000]


async def test_checkpoints_rise_while_a_stream_runs(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with listen(http, proxy, customer) as socket:
        await socket.send_bytes(SECOND)

        async def several_and_all_heard() -> bool:
            own = await readings(redis_client, project_id=customer.project_id)
            return len(own) > 3 and own[-1].audio_ms == 1000

        await eventually(several_and_all_heard)
        await socket.close()
    final = await final_of(redis_client, project_id=customer.project_id)
    own = await readings(redis_client, project_id=customer.project_id)
    orders = [reading.order for reading in own]
    assert orders == sorted(orders)
    assert orders[-1] == final.order
    assert own[-2].audio_ms == 1000


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
        "DRAIN_SECONDS": "120",
        "DRAIN_FINISH_SECONDS": "60",
        "CLOSE_SECONDS": "60",
        "BOUNDARY_SECONDS": "60",
    }
    with running("ws_proxy", tmp_path / "log", **env) as leaving:
        sockets = [await listen(http, leaving, customer) for _ in range(8)]
        for index, socket in enumerate(sockets):
            await socket.send_bytes(SECOND * (index + 1))
        await eventually(lambda: stt.audio_bytes == len(SECOND) * sum(range(1, 9)))
        leaving.process.signal(leaving.process.spec.stop_signal)

        async def draining() -> bool:
            async with http.get(f"{leaving.url}/healthz") as health_check:
                return health_check.status == 503

        await eventually(draining)  # before that a new stream would still be taken
        assert (await refused(http, leaving, headers=customer.headers))[0] == 503
        for socket in sockets:
            messages = await asyncio.wait_for(heard(socket), 60)
            assert [message["type"] for message in messages[-2:]] == ["Results", "Metadata"]
            assert messages[-2]["channel"]["alternatives"][0]["transcript"] == "last words"
            assert socket.close_code == 1012
        assert await asyncio.to_thread(leaving.process.wait, 60) == 0
    for index, socket in enumerate(sockets):
        final = await final_of(redis_client, socket._response.headers["dg-request-id"])
        assert (final.close_code, final.audio_ms) == (1012, 1000 * (index + 1))
    assert await customer.leases() == 0


async def test_a_killed_process_frees_its_slots_within_the_leases_ttl(
    http: ClientSession,
    redis_server: Process,
    stt: FakeStt,
    customer: Customer,
    proxy: Service,
    redis_client: redis.Redis,
    tmp_path: Path,
) -> None:
    await customer.write(concurrent_streams=1)
    env = {
        "REDIS_URL": redis_server.url,  # type: ignore[attr-defined]
        "STT_UPSTREAMS": stt.url,
        "LEASE_TTL_SECONDS": "60",
    }
    with running("ws_proxy", tmp_path / "log", **env) as doomed:
        socket = await listen(http, doomed, customer)
        assert (await refused(http, proxy, headers=customer.headers))[0] == 429
        doomed.process.kill()
        await heard(socket)
    held = leases_key(customer.project_id)
    leases: Any = await redis_client.zrange(held, 0, -1, withscores=True)
    [(lease, lapses_ms)] = leases
    assert lapses_ms <= time.time() * 1000 + 60_000
    await redis_client.zadd(held, {lease: 1})  # the time goes by

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
