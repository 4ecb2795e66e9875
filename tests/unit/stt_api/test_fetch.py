from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aldea.address_guard import AddressGuard, GuardedClient
from aldea.service.lifecycle import new_app
from onebox.ports import free_port
from stt_api.fetch import fetched
from tests.unit.aldea.test_address_guard import HOSTILE_TEXTS, PUBLIC, infos

AUDIO = bytes(range(256)) * 1000
Client: TypeAlias = "TestClient[Any, Any]"


async def _send(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/audio":
            return web.Response(body=AUDIO)
        case "/moved":
            return web.Response(status=302, headers={"Location": "/audio"})
        case "/inside":
            return web.Response(status=302, headers={"Location": "http://10.0.0.1/secret"})
        case "/broken":
            response = web.StreamResponse(headers={"Content-Length": str(len(AUDIO))})
            await response.prepare(request)
            await response.write(AUDIO[:1000])
            assert request.transport is not None
            request.transport.close()
            return response
    raise web.HTTPNotFound


@pytest.fixture
async def host() -> AsyncIterator[str]:
    """The base URL of a customer's server."""
    app = web.Application()
    app.router.add_get("/{path:.*}", _send)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


@asynccontextmanager
async def fetching(guard: AddressGuard) -> AsyncIterator[Client]:
    """A server that responds with the bytes that it fetched."""
    async with GuardedClient(guard) as guarded:

        async def echo(request: web.Request) -> web.StreamResponse:
            async with fetched(request, guarded) as body:
                return web.Response(body=b"".join([chunk async for chunk in body]))

        app = new_app()
        app.router.add_post("/", echo)
        async with TestClient(TestServer(app)) as made:
            yield made


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """One that may fetch from loopback."""
    async with fetching(AddressGuard(allow_loopback=True)) as made:
        yield made


@pytest.mark.parametrize("path", ["/audio", "/moved"])
async def test_the_bytes_at_the_url_come_whole_also_by_redirect(client: Client, host: str, path: str) -> None:
    async with client.post("/", json={"url": host + path}) as response:
        assert response.status == 200
        assert await response.read() == AUDIO


async def refusal(client: Client, **body: Any) -> str:
    async with client.post("/", headers={"Content-Type": "application/json"}, **body) as response:
        found = await response.json()
        assert (response.status, found["err_code"]) == (400, "Bad Request")
        return str(found["err_msg"])


@pytest.mark.parametrize(
    ("path", "words"),
    [("/nothing", "status 404"), ("/inside", "no public address"), ("/broken", "broke off after 1000 bytes")],
)
async def test_a_url_that_brings_no_audio_is_a_bad_request_that_says_why(
    client: Client, host: str, path: str, words: str
) -> None:
    assert words in await refusal(client, data=f'{{"url": "{host}{path}"}}')


async def test_a_host_that_does_not_respond_is_a_bad_request(client: Client) -> None:
    assert "cannot be fetched" in await refusal(client, data=f'{{"url": "http://127.0.0.1:{free_port()}/"}}')


@pytest.mark.parametrize("body", ["", "[]", '{"url": ""}', '{"url": 5}', '"https://example.com"', "[" * 100_000])
async def test_a_json_body_without_a_url_gets_an_error_that_says_what_is_wanted(client: Client, body: str) -> None:
    assert '{"url": "https://…"}' in await refusal(client, data=body)


@pytest.mark.parametrize("url", ["http://10.0.0.1/a.wav", "file:///etc/passwd", "http://example.com:22/"])
async def test_only_public_web_addresses_are_gone_to(client: Client, url: str) -> None:
    assert "URL" in await refusal(client, data=f'{{"url": "{url}"}}')


@pytest.mark.parametrize("url", HOSTILE_TEXTS)
async def test_no_hostile_text_is_fetched_nor_looked_up(url: str) -> None:
    resolved: list[str] = []

    def lookup(host: str, _port: int) -> list[tuple[Any, ...]]:
        resolved.append(host)
        return infos([PUBLIC])

    async with fetching(AddressGuard(lookup=lookup)) as client, client.post("/", json={"url": url}) as response:
        assert response.status == 400
        assert (await response.json())["err_code"] == "Bad Request"
    assert resolved == []


async def test_a_name_that_leads_inside_only_when_it_is_fetched_is_refused() -> None:
    addresses = [[PUBLIC], ["169.254.169.254"]]

    def lookup(_host: str, _port: int) -> list[tuple[Any, ...]]:
        return infos(addresses.pop(0))

    guard = AddressGuard(lookup=lookup)
    await guard.check_resolved("http://rebinding.example/")  # what a proxy before the engine has seen
    async with fetching(guard) as client, client.post("/", json={"url": "http://rebinding.example/"}) as response:
        assert response.status == 400
        assert "no public address" in (await response.json())["err_msg"]
