import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from aldea.settings import read
from aldea.tasks import spawn
from onebox import balancer, tunnel

Start = Callable[[web.Application], AbstractAsyncContextManager[str]]

WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}


@asynccontextmanager
async def served(app: web.Application, runner: web.BaseRunner | None = None) -> AsyncIterator[str]:
    runner = runner or web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def balanced(**targets: str) -> AsyncIterator[str]:
    """A balancer in front of these services; `ws_proxy="http://…"` is the address of the target ws-proxy."""
    urls = {name.replace("_", "-"): url for name, url in targets.items()}
    app = balancer.make_app(read(balancer.BalancerSettings, port=0, targets=urls))
    async with served(app, balancer.runner(app)) as url:
        yield url


def service(name: str = "service", **handlers: Any) -> web.Application:
    """A stand-in service: says its name and what it received, unless a handler is given."""

    async def reflect(request: web.Request) -> web.Response:
        seen = {"name": name, "method": request.method, "path": request.raw_path, "body": (await request.text())}
        return web.json_response({**seen, "headers": dict(request.headers)}, headers={"dg-request-id": "one"})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", handlers.get("any", reflect))
    return app


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_each_rule_of_the_table_leads_to_its_service(session: aiohttp.ClientSession) -> None:
    async with (
        served(service("ws")) as ws,
        served(service("http")) as http,
        served(service("backend")) as backend,
        served(service("frontend")) as frontend,
        balanced(ws_proxy=ws, http_proxy=http, backend=backend, frontend=frontend) as url,
    ):

        async def who(method: str, path: str, **headers: str) -> str:
            async with session.request(method, url + path, headers=headers) as response:
                return str((await response.json())["name"])

        assert await who("GET", "/v1/listen?model=x", **WEBSOCKET) == "ws"
        assert await who("POST", "/v1/listen") == "http"
        assert await who("POST", "/listen/v1") == "http"
        assert await who("POST", "/transcribe") == "http"
        assert await who("GET", "/v1/projects") == "backend"
        assert await who("POST", "/v1/auth/grant", Host="api.localhost:8080") == "backend"
        assert await who("GET", "/login", Host="backend.localhost:8080") == "backend"
        assert await who("GET", "/", Host="platform.localhost") == "frontend"


async def test_a_path_outside_the_table_gets_the_contracts_404(session: aiohttp.ClientSession) -> None:
    async with balanced() as url, session.get(f"{url}/nothing") as response:
        assert response.status == 404
        found = await response.json()
        assert found["err_code"] == "NOT_FOUND"
        assert found["err_msg"].endswith("recorded audio: POST /v1/listen. See /docs/errors#not_found")
        assert found["request_id"] == response.headers["dg-request-id"]
        assert response.headers["dg-error"] == f"NOT_FOUND: {found['err_msg']}"


async def test_a_request_arrives_unchanged_but_for_where_it_came_from(session: aiohttp.ClientSession) -> None:
    async with served(service()) as http, balanced(http_proxy=http) as url:
        path = "/v1/listen?keywords=a%20b&keywords=c%2Fd&tag="
        headers = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Token abc", "Host": "api.localhost:8080"}
        async with session.post(URL(url + path, encoded=True), data=b"sound", headers=headers) as response:
            assert response.headers["dg-request-id"] == "one"
            seen = await response.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", path, "sound")
    assert seen["headers"]["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert seen["headers"]["X-Forwarded-Proto"] == "http"
    assert seen["headers"]["Authorization"] == "Token abc"
    assert seen["headers"]["Host"] == "api.localhost:8080"
    assert seen["headers"]["Content-Length"] == "5"
    assert "Transfer-Encoding" not in seen["headers"]


async def test_fields_of_one_hop_are_not_passed_on(session: aiohttp.ClientSession) -> None:
    async with served(service()) as http, balanced(http_proxy=http) as url:
        headers = {"Connection": "keep-alive, X-Mine", "X-Mine": "1", "TE": "trailers", "X-Kept": "2"}
        async with session.post(f"{url}/transcribe", headers=headers) as response:
            seen = (await response.json())["headers"]
    assert "X-Mine" not in seen
    assert "TE" not in seen
    assert seen["X-Kept"] == "2"


async def test_an_upload_reaches_the_service_while_the_client_still_sends(session: aiohttp.ClientSession) -> None:
    first = asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        assert await request.content.readany() == b"first"
        first.set()
        return web.Response(text=(await request.content.read()).decode())

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(first.wait(), 60)
        yield b"second"

    async with (
        served(service(any=read)) as http,
        balanced(http_proxy=http) as url,
        session.post(f"{url}/transcribe", data=body()) as response,
    ):
        assert await response.text() == "second"


async def test_a_response_reaches_the_client_while_the_service_still_writes(session: aiohttp.ClientSession) -> None:
    go_on = asyncio.Event()

    async def write(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.wait_for(go_on.wait(), 60)
        await response.write(b"second")
        return response

    async with (
        served(service(any=write)) as http,
        balanced(http_proxy=http) as url,
        session.post(f"{url}/transcribe") as response,
    ):
        assert await response.content.readany() == b"first"
        go_on.set()
        assert await response.content.read() == b"second"


async def test_a_response_that_breaks_off_breaks_off_for_the_client_too(session: aiohttp.ClientSession) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with served(service(any=break_off)) as http, balanced(http_proxy=http) as url:
        with pytest.raises(aiohttp.ClientError):
            async with session.post(f"{url}/transcribe") as response:
                await response.read()


async def test_a_client_that_leaves_is_noticed_by_the_service(session: aiohttp.ClientSession) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        arrived.set()
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        left.set()
        return web.Response()

    async with served(service(any=wait)) as http, balanced(http_proxy=http) as url:

        async def upload(client: aiohttp.ClientSession) -> None:
            async with client.post(f"{url}/transcribe"):
                pass

        async with aiohttp.ClientSession() as leaving:
            posting = spawn(upload(leaving), name="upload")
            await asyncio.wait_for(arrived.wait(), 60)
            posting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await posting
        await asyncio.wait_for(left.wait(), 60)


async def test_an_unavailable_service_is_a_502_and_an_unknown_one_a_503(session: aiohttp.ClientSession) -> None:
    async with balanced(http_proxy="http://127.0.0.1:1") as url:
        async with session.post(f"{url}/transcribe") as response:
            assert response.status == 502
            assert json.loads(await response.text())["err_code"] == "BAD_GATEWAY"
        async with session.get(f"{url}/v1/projects") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"


async def raw(url: str, sent: bytes) -> bytes:
    """What comes back for these bytes until the balancer closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/listen HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade",
        b"HEAD /v1/listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade, close",
        b"GET /v1/listen HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade, close",
        b"GET /v1/projects HTTP/1.0\r\nConnection: close",
        b"\x16\x03\x01 nonsense",
        b"GET /\xff HTTP/1.1\r\nHost: x",
        b"GET /v1/projects HTTP/1.1\r\nHost: x:abc\r\nConnection: close",
        b"GET /v1/projects HTTP/1.1\r\nHost: x:99999\r\nConnection: close",
        b"GET /v1/projects HTTP/1.1\r\nHost: h\xe9\r\nConnection: close",
        b"GET /v1/listen HTTP/1.1\r\nHost: a b\r\nUpgrade: websocket\r\nConnection: upgrade, close",
        b"POST /v1/projects HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0",
    ],
)
async def test_a_head_that_no_service_should_see_is_400(head: bytes) -> None:
    async with served(service()) as any_service, balanced(ws_proxy=any_service, backend=any_service) as url:
        response = await raw(url, head + b"\r\n\r\n")
    assert response.split(b" ", 2)[1] == b"400"
    assert b"\r\nServer: aldea\r\n" in response


@pytest.mark.parametrize("named", [b"", b"Connection: keep-alive\r\n"])
async def test_an_upgrade_that_connection_does_not_name_stays_on_its_hop(named: bytes) -> None:
    head = b"GET /v1/listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" + named
    async with served(service()) as ws, balanced(ws_proxy=ws) as url:
        response = await raw(url, head + b"\r\n" + head + b"Connection: close\r\n\r\n")
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert b"Upgrade" not in response


async def test_a_connection_goes_on_after_a_refused_upgrade() -> None:
    upgrade = b"HEAD /v1/listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    async with served(service()) as backend, balanced(backend=backend) as url:
        response = await raw(url, upgrade + b"GET /v1/projects HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400")
    assert b"HTTP/1.1 200 OK" in response


async def test_a_whole_url_as_the_target_leads_to_its_host_and_path() -> None:
    head = b"GET http://platform.localhost/login?a=http://b/ HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n"
    async with served(service("frontend")) as frontend, balanced(frontend=frontend) as url:
        response = await raw(url, head)
    seen = json.loads(response.partition(b"\r\n\r\n")[2])
    assert (seen["name"], seen["path"], seen["headers"]["Host"]) == (
        "frontend",
        "/login?a=http://b/",
        "platform.localhost",
    )


@pytest.mark.parametrize("path", ["//v1/listen", "///transcribe?a=//"])
async def test_a_base_url_that_ends_in_a_slash_leads_to_the_same_service(
    session: aiohttp.ClientSession, path: str
) -> None:
    async with (
        served(service("http")) as http,
        balanced(http_proxy=http) as url,
        session.post(URL(url + path, encoded=True)) as response,
    ):
        assert (await response.json())["path"] == "/" + path.lstrip("/")


async def test_a_compressed_upload_passes_as_it_was_sent(session: aiohttp.ClientSession) -> None:
    packed = gzip.compress(b"sound")

    async def keep(request: web.Request) -> web.Response:
        return web.json_response({"coding": request.headers["Content-Encoding"], "length": request.content_length})

    headers = {"Content-Encoding": "gzip"}
    async with (
        served(service(any=keep)) as http,
        balanced(http_proxy=http) as url,
        session.post(f"{url}/transcribe", data=packed, headers=headers) as response,
    ):
        assert await response.json() == {"coding": "gzip", "length": len(packed)}


async def test_a_body_that_breaks_off_is_the_clients_fault() -> None:
    begun = asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        begun.set()
        return web.Response(body=await request.read())

    async with served(service(any=read)) as http, balanced(http_proxy=http) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        writer.write(b"POST /transcribe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await asyncio.wait_for(begun.wait(), 60)
        writer.write(b"no chunk\r\n")
        response = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert response.startswith(b"HTTP/1.1 422 ")


async def test_no_response_names_a_version(session: aiohttp.ClientSession) -> None:
    async with balanced(http_proxy="http://127.0.0.1:1") as url:
        for path in ("/nothing", "/transcribe", "/v1/projects"):
            async with session.get(url + path) as response:
                assert response.headers.getall("Server") == ["aldea"]


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(protocols=("token",), max_msg_size=0)
    ws.headers["dg-request-id"] = "one"
    await ws.prepare(request)
    async for message in ws:
        await (ws.send_str(message.data) if message.type is aiohttp.WSMsgType.TEXT else ws.send_bytes(message.data))
    return ws


async def test_a_websocket_goes_through_with_its_headers_protocol_and_close_code(
    session: aiohttp.ClientSession,
) -> None:
    closed: list[int | None] = []

    async def speak(request: web.Request) -> web.WebSocketResponse:
        ws = await echo(request)
        closed.append(ws.close_code)
        return ws

    async with (
        served(service(any=speak)) as proxy,
        balanced(ws_proxy=proxy) as url,
        session.ws_connect(f"{url}/v1/listen", protocols=("token", "org_secret")) as ws,
    ):
        assert ws.protocol == "token"
        assert ws._response.headers["dg-request-id"] == "one"
        await ws.send_str("words")
        assert await ws.receive_str(timeout=60) == "words"
        await ws.send_bytes(b"x" * 1_000_000)
        assert len(await ws.receive_bytes(timeout=60)) == 1_000_000
        await ws.close(code=1000)
    assert closed == [1000]


async def test_a_close_code_of_the_service_reaches_the_client(session: aiohttp.ClientSession) -> None:
    async def refuse(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str("last words")
        await ws.close(code=1012, message=b"restart")
        return ws

    async with (
        served(service(any=refuse)) as proxy,
        balanced(ws_proxy=proxy) as url,
        session.ws_connect(f"{url}/listen/v1") as ws,
    ):
        assert await ws.receive_str(timeout=60) == "last words"
        closing = await ws.receive(timeout=60)
        assert (closing.data, closing.extra) == (1012, "restart")


async def test_a_refused_upgrade_arrives_as_the_service_responded(session: aiohttp.ClientSession) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"err_code": "INVALID_AUTH"}, status=401, headers={"dg-error": "no"})

    async with served(service(any=refuse)) as proxy, balanced(ws_proxy=proxy) as url:
        for _ in range(2):  # the refusal leaves nothing behind that would disturb the next request
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}/v1/listen")
            assert refused.value.status == 401
            assert refused.value.headers is not None
            assert refused.value.headers["dg-error"] == "no"


async def test_what_a_client_sent_before_it_vanished_still_reaches_the_service() -> None:
    heard: list[bytes] = []
    ended = asyncio.Event()

    async def listen(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        heard.extend([message.data async for message in ws])
        ended.set()
        return ws

    async with (
        served(service(any=listen)) as proxy,
        balanced(ws_proxy=proxy) as url,
        aiohttp.ClientSession() as session,
    ):
        ws = await session.ws_connect(f"{url}/v1/listen")
        for _ in range(20):
            await ws.send_bytes(b"sound")
        assert ws._response.connection is not None
        assert ws._response.connection.transport is not None
        ws._response.connection.transport.close()  # no close frame: the client is just gone
        await asyncio.wait_for(ended.wait(), 60)
    assert heard == [b"sound"] * 20


def tunnels() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("tunnel")]


async def test_a_client_that_does_not_read_stops_the_service_from_writing_and_does_not_outlive_it(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "STALL_SECONDS", 2.0)
    sent = 0
    stuck = asyncio.Event()

    async def pour(request: web.Request) -> web.WebSocketResponse:
        nonlocal sent
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        try:
            while True:
                await asyncio.wait_for(ws.send_bytes(bytes(100_000)), 1.0)  # stuck: nothing was taken
                sent += 100_000
        except (TimeoutError, ConnectionError):
            stuck.set()
        if request.transport is not None:
            request.transport.abort()
        return ws

    async with served(service(any=pour)) as proxy, balanced(ws_proxy=proxy) as url:
        ws = await session.ws_connect(f"{url}/v1/listen", max_msg_size=0)
        assert ws._response.connection is not None
        assert ws._response.connection.transport is not None
        transport = ws._response.connection.transport
        transport.pause_reading()
        await asyncio.wait_for(stuck.wait(), 60)
        # Sockets' own buffers on two hops come on top of the tunnel's bound.
        assert sent < tunnel.HIGH_WATER_BYTES + 40_000_000
        async with asyncio.timeout(60):
            while tunnels():
                await asyncio.sleep(0.01)
            transport.resume_reading()
            while (await ws.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
        assert ws.close_code == 1006


async def test_an_empty_host_is_one_that_is_not_named(session: aiohttp.ClientSession) -> None:
    # The public API's Go client opens its live streams so.
    async with served(service()) as any_service, balanced(ws_proxy=any_service, http_proxy=any_service) as url:
        response = await raw(
            url, b"POST /v1/listen HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    assert response.split(b" ", 2)[1] == b"200"
