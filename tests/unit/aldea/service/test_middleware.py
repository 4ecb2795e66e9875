import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from aldea import errors
from aldea.service.lifecycle import new_app

Client = TestClient[web.Request, web.Application]
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    clients: list[Client] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Client:
        app = new_app()
        app.router.add_route("*", "/odd", handler)
        app.router.add_post("/post-only", handler)
        client = TestClient(TestServer(app))
        clients.append(client)
        await client.start_server()
        return client

    yield start
    for client in clients:
        await client.close()


async def check(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, str]:
    body: dict[str, str] = await response.json()
    assert response.status == status
    assert body["err_code"] == code
    assert body["request_id"] == response.headers["dg-request-id"]
    assert uuid.UUID(body["request_id"]).version == 7
    return body


def raising(error: BaseException) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_request: web.Request) -> NoReturn:
        raise error

    return handler


async def test_an_api_error_is_sent_as_itself(serve: Serve) -> None:
    client = await serve(raising(errors.TooManyRequests("slow down", retry_after=3)))
    response = await client.get("/odd")
    await check(response, 429, "TOO_MANY_REQUESTS")
    assert response.headers["Retry-After"] == "3"


async def test_an_unknown_failure_is_a_500_without_details_and_is_logged(serve: Serve) -> None:
    client = await serve(raising(RuntimeError("inner secret")))
    with capture_logs() as logs:
        body = await check(await client.get("/odd"), 500, "INTERNAL_SERVER_ERROR")
    assert "inner secret" not in str(body)
    (line,) = logs
    assert (line["event"], line["request_id"], line["path"]) == ("request failed", body["request_id"], "/odd")


async def test_an_unknown_path_and_method_are_in_the_contracts_shape(serve: Serve) -> None:
    client = await serve(raising(RuntimeError()))
    await check(await client.get("/nowhere"), 404, "NOT_FOUND")
    response = await client.get("/post-only")
    await check(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "POST"


async def test_a_body_above_the_limit_is_413(serve: Serve) -> None:
    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    client = await serve(read)
    await check(await client.post("/post-only", data=io.BytesIO(b"x" * (1 << 21))), 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.HTTPUnauthorized(), 401, "INVALID_AUTH"),
        (web.HTTPForbidden(), 403, "INSUFFICIENT_PERMISSIONS"),
        (web.HTTPExpectationFailed(), 417, "EXPECTATION_FAILED"),
        (web.HTTPServiceUnavailable(), 503, "SERVICE_UNAVAILABLE"),
        (web.HTTPBadRequest(text="broken"), 400, "Bad Request"),
    ],
)
async def test_aiohttps_own_errors_keep_their_meaning(
    serve: Serve, error: web.HTTPException, status: int, code: str
) -> None:
    client = await serve(raising(error))
    await check(await client.get("/odd"), status, code)


async def test_a_redirect_is_no_error(serve: Serve) -> None:
    client = await serve(raising(web.HTTPFound("/healthz")))
    response = await client.get("/odd", allow_redirects=False)
    assert response.status == 302


async def test_every_response_carries_the_requests_id(serve: Serve) -> None:
    async def fine(_request: web.Request) -> web.Response:
        return web.Response()

    client = await serve(fine)
    assert uuid.UUID((await client.get("/odd")).headers["dg-request-id"]).version == 7


async def test_every_response_names_the_server_without_a_version(serve: Serve) -> None:
    client = await serve(raising(RuntimeError()))
    for path in ("/healthz", "/odd", "/nowhere", "/post-only"):
        async with client.get(path) as response:
            assert response.headers.getall("Server") == ["aldea"]


@pytest.mark.parametrize("text", ["/x\x7f", "/x\x01", "/é", "/\udcff", "/x\x85"])
async def test_a_clients_text_in_a_header_is_percent_encoded(serve: Serve, text: str) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        response = web.Response(headers={"Location": text, "X-Plain": "as it is, %41"})
        response.set_cookie("a", "b")
        response.set_cookie("c", "d")
        return response

    response = await (await serve(redirect)).get("/odd")
    assert response.headers["Location"].isprintable()
    assert response.headers["Location"].startswith("/")
    assert response.headers["X-Plain"] == "as it is, %41"
    assert len(response.headers.getall("Set-Cookie")) == 2


async def test_a_failure_after_the_response_began_cuts_it_instead_of_adding_a_second_one(serve: Serve) -> None:
    async def half(request: web.Request) -> NoReturn:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first half")
        raise RuntimeError

    client = await serve(half)
    with pytest.raises(aiohttp.ClientPayloadError):
        response = await client.get("/odd")
        text = await response.text()
        assert "err_code" not in text


async def test_a_client_that_left_is_not_reported_as_a_failure(serve: Serve) -> None:
    left = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        left.set()
        raise ConnectionResetError

    client = await serve(slow)
    with capture_logs() as logs:
        with pytest.raises(aiohttp.ClientError):
            await client.get("/odd")
        await left.wait()
    assert [line["event"] for line in logs] == ["client disconnected"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/nowhere", "NOT_FOUND"), ("GET", "/post-only", "METHOD_NOT_ALLOWED"), ("GET", "/odd", "INVALID_AUTH")],
)
async def test_a_refused_upgrade_has_its_error_in_a_header_whatever_refused_it(
    serve: Serve, method: str, path: str, code: str
) -> None:
    client = await serve(raising(errors.InvalidAuth()))
    for upgrade in ("websocket", "WebSocket"):
        response = await client.request(method, path, headers={"Upgrade": upgrade, "Connection": "Upgrade"})
        body: dict[str, str] = await response.json()
        assert response.headers["dg-error"] == f"{code}: {body['err_msg']}"
    assert "dg-error" not in (await client.request(method, path)).headers
