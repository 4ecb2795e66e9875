"""Hostile URLs through the service itself: as callback and as audio, by text, name, redirect and a change of mind."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio as redis
from aiohttp import web
from aiohttp.test_utils import TestServer

from http_proxy.callbacks import delivery, store
from tests.support.proxied import Proxy, call, client_of, leases, post, proxying, readings, well
from tests.unit.aldea.test_address_guard import HOSTILE_ADDRESSES, HOSTILE_TEXTS, PUBLIC, infos
from tests.unit.http_proxy.servers import raw_server

JSON = "Content-Type: application/json"

HOSTILE_NAMES = ["localhost", "localhost.", "LOCALHOST", "ip6-localhost", "metadata.google.internal", "db.internal."]


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback workers need not be waited for."""
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)


def as_callback(url: str) -> bytes:
    return post(b"audio", f"/v1/listen?callback={quote(url, safe='')}")


def as_audio(url: str) -> bytes:
    return post(json.dumps({"url": url}).encode(), "/v1/listen", JSON)


def resolving(proxy: Proxy, *results: Sequence[str]) -> list[str]:
    """From now on names resolve to these addresses, one after the other, the last for ever; the names looked up."""
    looked_up: list[str] = []

    def lookup(host: str, _port: int) -> list[tuple[Any, ...]]:
        if not any(letter.isalpha() for letter in host):
            return infos([host])
        found = results[min(len(looked_up), len(results) - 1)]
        looked_up.append(host)
        return infos(found)

    proxy.resources.guard._lookup = lookup
    return looked_up


async def is_refused(proxy: Proxy, requests: Sequence[bytes]) -> None:
    """Each gets a 400 in the contract's shape, all on one connection."""
    async with client_of(proxy) as client:
        for request in requests:
            await client.send(request)
            reply = await client.reply()
            assert (reply.status, reply.json["err_code"]) == (400, "Bad Request"), request
            assert reply.json["err_msg"].startswith(("The URL", "The parameter callback")), request


@pytest.mark.parametrize("request_for", [as_callback, as_audio])
async def test_hostile_texts_are_refused_and_reach_no_server(
    redis_url: str, redis_client: redis.Redis, request_for: Any
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt, allow_loopback_urls=False) as proxy:
        looked_up = resolving(proxy, [PUBLIC])
        assert len(HOSTILE_TEXTS) >= 40
        await is_refused(proxy, [request_for(url) for url in HOSTILE_TEXTS])
        assert looked_up == [], "no name was looked up for any of them"
        assert [body for _, body in seen if body] == []
        assert await leases(redis_client) == 0
        assert not any(reading.audio_ms for reading in await readings(redis_client))


@pytest.mark.parametrize("request_for", [as_callback, as_audio])
async def test_names_that_lead_inside_are_refused(redis_url: str, request_for: Any) -> None:
    async with raw_server(well()) as stt, proxying(redis_url, stt, allow_loopback_urls=False) as proxy:
        for addresses in HOSTILE_ADDRESSES:
            resolving(proxy, addresses)
            await is_refused(proxy, [request_for(f"http://{name}/") for name in HOSTILE_NAMES])
        proxy.resources.guard._lookup = lambda host, port: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        await is_refused(proxy, [request_for("http://localhost/"), request_for(f"http://{socket.gethostname()}/")])


@pytest.mark.parametrize(
    "query",
    [
        "callback=http%3A%2F%2F10.0.0.1%2F",
        "%63allback=http://10.0.0.1/",
        "callback=http%253A%252F%252Fexample.com%252F",
        "callback=https://example.com/&callback=http://10.0.0.1/",
        "callback=https://example.com/&%63allback=http://10.0.0.1/",
        "callback=https://example.com%0d%0aHost:%20inner/",
        "callback=https://example.com%00.inner/",
        "callback=+http://example.com/",
    ],
)
async def test_no_spelling_of_the_parameter_hides_a_callback(redis_url: str, query: str) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with raw_server(well(seen)) as stt, proxying(redis_url, stt, allow_loopback_urls=False) as proxy:
        resolving(proxy, [PUBLIC])
        await is_refused(proxy, [post(b"audio", f"/v1/listen?{query}")])
        assert [body for _, body in seen if body] == []


@asynccontextmanager
async def redirecting(location: str, status: int = 307) -> AsyncIterator[tuple[str, list[str]]]:
    """A customer's server that sends its callers elsewhere."""
    called: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response(status=status, headers={"Location": location})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", redirect)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook")), called


def connections(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which the deliveries of this proxy connect."""
    made: list[str] = []
    checked = proxy.resources.guard.connect_socket

    def noted(info: tuple[Any, ...]) -> socket.socket:
        opened = checked(info)
        made.append(info[4][0])
        return opened

    connector: Any = proxy.resources.callback_worker._client._session.connector  # type: ignore[union-attr]
    monkeypatch.setattr(connector, "_socket_factory", noted)
    return made


async def until_given_up(client: redis.Redis) -> None:
    raw: Any = client
    async with asyncio.timeout(60):
        while await raw.exists(store.DUE):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://metadata.internal/",
        "//169.254.169.254/",
        "http://example.com:6379/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "http://user:pass@example.com/",
        "http://exa\tmple.com/",
    ],
)
async def test_a_redirect_leads_nowhere_that_the_url_itself_may_not(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    async with (
        redirecting(location) as (url, called),
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retry_seconds=0.02, callback_retries=1) as proxy,
    ):
        resolving(proxy, ["169.254.169.254"])
        made = connections(proxy, monkeypatch)
        assert (await call(proxy, as_callback(url))).status == 200
        await until_given_up(redis_client)
        assert called == ["/hook", "/hook"]
        assert set(made) == {"127.0.0.1"}


async def test_redirects_in_a_circle_end(redis_url: str, redis_client: redis.Redis) -> None:
    async with (
        redirecting("/round") as (url, called),
        raw_server(well()) as stt,
        proxying(redis_url, stt, callback_retries=0) as proxy,
    ):
        assert (await call(proxy, as_callback(url))).status == 200
        await until_given_up(redis_client)
        assert 2 <= len(called) <= 10


async def test_a_name_that_resolves_elsewhere_after_the_check_is_refused_at_the_delivery(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        raw_server(well()) as stt,
        proxying(redis_url, stt, allow_loopback_urls=False, callback_retry_seconds=0.02, callback_retries=2) as proxy,
    ):
        made = connections(proxy, monkeypatch)
        looked_up = resolving(proxy, [PUBLIC], ["10.0.0.1"], ["::1"], ["169.254.169.254"])
        assert (await call(proxy, as_callback("http://rebinding.example/"))).status == 200
        await until_given_up(redis_client)
        assert looked_up == ["rebinding.example"] * 4
        assert made == []
