"""OpenAI's realtime wire through a real ws_proxy: the same admission, limits and bill, errors in that wire's shape."""

import asyncio
import base64
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from onebox.process import Process
from tests.fakes.stt import FakeStt
from tests.fakes.words import WORD_SAMPLES, WordServer, audio_of
from tests.support.proxies import Customer, Service, eventually, final_of, running
from tests.support.streams import no_leases

PATH = "/v1/realtime?intent=transcription"
COMPLETED = "conversation.item.input_audio_transcription.completed"
# Of the fake server's own rate, which counts bytes: 1.5 s of audio at 24 kHz.
SECOND = bytes(48_000)


def connect(http: ClientSession, proxy: Service, customer: Customer) -> Any:
    headers = {"Authorization": f"Bearer {customer.key.text}"}
    return http.ws_connect(f"{proxy.url}{PATH}&tag=a", headers=headers, max_msg_size=0)


async def send(socket: ClientWebSocketResponse, kind: str, **fields: Any) -> None:
    await socket.send_str(json.dumps({"type": kind, **fields}))


async def append(socket: ClientWebSocketResponse, audio: bytes) -> None:
    await send(socket, "input_audio_buffer.append", audio=base64.b64encode(audio).decode())


async def until(socket: ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next event of this type; no error before it."""
    async with asyncio.timeout(60):
        while True:
            event: dict[str, Any] = json.loads(await socket.receive_str())
            if event["type"] == kind:
                return event
            assert event["type"] != "error", event


async def last_error(socket: ClientWebSocketResponse) -> dict[str, Any]:
    """The last error event before the close."""
    async with asyncio.timeout(60):
        events = [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]
    error: dict[str, Any] = [event for event in events if event["type"] == "error"][-1]["error"]
    return error


async def test_a_session_is_one_stream_with_one_exact_bill(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis
) -> None:
    async with connect(http, proxy, customer) as socket:
        request_id = socket._response.headers["dg-request-id"]
        created = await until(socket, "session.created")
        assert created["session"]["type"] == "transcription"
        await send(socket, "session.update", session={"audio": {"input": {"turn_detection": None}}})
        await until(socket, "session.updated")
        assert stt.requests == []  # no place is taken before there is audio
        await append(socket, SECOND)
        await send(socket, "input_audio_buffer.commit")
        committed = await until(socket, "input_audio_buffer.committed")
        completed = await until(socket, COMPLETED)
        assert completed["item_id"] == committed["item_id"]
        assert completed["transcript"].endswith("words")
        assert await customer.leases() == 1
    request = stt.requests[0]
    assert request.path == "/v1/listen"
    assert (request.query["encoding"], request.query["sample_rate"]) == ("linear16", "24000")
    assert request.headers["dg-request-id"] == request_id
    assert customer.key.text not in str(request.headers)
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.request_id, final.path, final.tags) == (request_id, "/v1/realtime", ("a",))
    assert (final.audio_ms, final.audio_source, final.status, final.close_code) == (1500, "stt", 101, 1000)
    await eventually(lambda: no_leases(customer))


@pytest.mark.parametrize("words", [["realtime", "openai-insecure-api-key.KEY", "openai-beta.realtime-v1"]])
async def test_a_browsers_key_comes_among_the_subprotocols_and_is_not_sent_back(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, words: list[str]
) -> None:
    offered = [word.replace("KEY", customer.key.text) for word in words]
    async with http.ws_connect(f"{proxy.url}{PATH}", protocols=offered) as socket:
        assert socket.protocol == "realtime"
        assert customer.key.text not in str(socket._response.headers)
        await until(socket, "transcription_session.created")
    assert customer.key.text not in proxy.logged()


async def refused(http: ClientSession, url: str, headers: dict[str, str]) -> tuple[int, dict[str, str], dict[str, Any]]:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    async with http.get(url, headers={**upgrade, **headers}) as response:
        assert response.status != 101
        body = await response.json()
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert response.headers["dg-request-id"]
        assert response.headers["dg-error"]
        return response.status, dict(response.headers), body["error"]


async def test_a_refusal_before_the_upgrade_is_openais_error_and_consumes_nothing(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    good = {"Authorization": f"Bearer {customer.key.text}"}
    for url, headers, status, code in (
        ("/v1/realtime", good, 400, "bad_request"),
        ("/v1/realtime?intent=conversation", good, 400, "bad_request"),
        ("/v1/realtime?model=gpt-realtime", good, 400, "bad_request"),
        (PATH, {}, 401, "invalid_api_key"),
        (PATH, {"Authorization": "Bearer org_wrong"}, 401, "invalid_api_key"),
        (PATH, {"Sec-WebSocket-Protocol": "realtime"}, 401, "invalid_api_key"),
        (PATH, {"Sec-WebSocket-Protocol": f"token, {customer.key.text}"}, 401, "invalid_api_key"),
        (PATH, {**good, "Origin": "https://evil.example"}, 403, "insufficient_permissions"),
        (PATH, {**good, "Sec-WebSocket-Version": "12"}, 426, "upgrade_required"),
        (f"{PATH}&tag={'x' * 600}", good, 400, "bad_request"),
    ):
        found, _, error = await refused(http, proxy.url + url, headers)
        assert (found, error["code"]) == (status, code), (url, error)
    await customer.write(scopes=frozenset({"usage:read"}))
    assert (await refused(http, proxy.url + PATH, good))[0] == 403
    await customer.write(concurrent_streams=1)
    async with connect(http, proxy, customer) as socket:
        await until(socket, "session.created")
        found, headers, error = await refused(http, proxy.url + PATH, good)
        assert (found, error["code"], error["type"]) == (429, "rate_limit_exceeded", "requests")
        assert int(headers["Retry-After"]) >= 1
    await eventually(lambda: no_leases(customer))
    assert stt.requests == []


async def test_bad_events_are_error_events_and_the_session_goes_on(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer
) -> None:
    async with connect(http, proxy, customer) as socket:
        await until(socket, "session.created")
        for bad in ("garbage", b"\0\1\2", json.dumps({"type": "response.create", "event_id": "mine"})):
            await (socket.send_bytes(bad) if isinstance(bad, bytes) else socket.send_str(bad))
            event = json.loads(await socket.receive_str())
            assert (event["type"], event["error"]["type"]) == ("error", "invalid_request_error")
        assert event["error"]["event_id"] == "mine"
        await append(socket, SECOND[:9601])  # half a sample is left over
        await send(socket, "input_audio_buffer.commit")
        await until(socket, COMPLETED)
        await append(socket, bytes(1 << 20))
        await send(socket, "input_audio_buffer.append", audio="A" * (3 << 20))
        assert (await last_error(socket))["code"] == "message_too_large"
        assert socket.close_code == 1009
    await eventually(lambda: no_leases(customer))


@pytest.mark.parametrize("begun", [False, True])
async def test_a_revoked_keys_session_ends_with_an_error_event_and_1008(
    http: ClientSession, proxy: Service, stt: FakeStt, customer: Customer, redis_client: redis.Redis, begun: bool
) -> None:
    async with connect(http, proxy, customer) as socket:
        await until(socket, "session.created")
        if begun:
            await append(socket, SECOND)
            await until(socket, "conversation.item.input_audio_transcription.delta")
        await customer.write(key_state="revoked")
        error = await last_error(socket)
        assert (error["code"], socket.close_code) == ("invalid_api_key", 1008)
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms) == (1008, 1500 if begun else 0)


async def test_a_session_without_a_server_gets_an_error_event_and_its_place_is_free_again(
    http: ClientSession, proxy: Service, stt_port: int, customer: Customer, redis_client: redis.Redis
) -> None:
    async with connect(http, proxy, customer) as socket:
        await until(socket, "session.created")
        await append(socket, SECOND)
        error = await last_error(socket)
        assert (error["type"], socket.close_code) == ("server_error", 1011)
    final = await final_of(redis_client, project_id=customer.project_id)
    assert (final.close_code, final.audio_ms) == (1011, 0)
    await eventually(lambda: no_leases(customer))


async def test_a_drain_closes_sessions_that_wait_at_once_and_running_ones_with_their_last_words(
    http: ClientSession, redis_server: Process, stt: FakeStt, customer: Customer, tmp_path: Path
) -> None:
    with running(
        "ws_proxy",
        tmp_path / "log",
        REDIS_URL=redis_server.url,  # type: ignore[attr-defined]
        STT_UPSTREAMS=stt.url,
        # No longer than the ending takes at most, which begins so long before the deadline: at once.
        DRAIN_SECONDS="180",
        BOUNDARY_SECONDS="60",
        DRAIN_FINISH_SECONDS="60",
        CLOSE_SECONDS="60",
    ) as proxy:
        async with connect(http, proxy, customer) as waiting, connect(http, proxy, customer) as running_one:
            await until(waiting, "session.created")
            await append(running_one, SECOND)
            await until(running_one, "conversation.item.input_audio_transcription.delta")
            proxy.process.signal(signal.SIGTERM)
            for socket, last in ((waiting, ""), (running_one, "last words")):
                async with asyncio.timeout(60):
                    events = [json.loads(message.data) async for message in socket if message.type is WSMsgType.TEXT]
                assert socket.close_code == 1012
                assert not last or events[-1]["transcript"].endswith(last)
                assert not [event for event in events if event["type"] == "error"]
        assert await asyncio.to_thread(proxy.process.wait, 60) == 0


async def test_a_session_outlives_its_server_with_each_word_once_and_one_bill(
    http: ClientSession, redis_server: Process, customer: Customer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    servers = [await WordServer().start(), await WordServer().start()]
    upstreams = ",".join(server.url for server in servers)
    url: Any = redis_server
    said: list[str] = []
    try:
        with running("ws_proxy", tmp_path / "log", REDIS_URL=url.url, STT_UPSTREAMS=upstreams) as proxy:
            async with connect(http, proxy, customer) as socket:
                await append(socket, audio_of(1, 6))
                said.append((await until(socket, COMPLETED))["transcript"])  # 1 to 4; 5 and 6 are not final
                for server in servers:
                    await server.faulty("reset")
                await append(socket, audio_of(7, 10))
                await send(socket, "input_audio_buffer.commit")
                while not said[-1].endswith("10"):
                    said.append((await until(socket, COMPLETED))["transcript"])
            final = await final_of(redis_client, project_id=customer.project_id)
    finally:
        for server in servers:
            await server.stop()
    assert " ".join(said).split() == [str(number) for number in range(1, 11)]
    assert sum(server.opened for server in servers) == 2
    assert (final.failovers, final.audio_source) == (1, "stt")
    assert final.audio_ms == round(10 * WORD_SAMPLES / 24_000 * 1000)
