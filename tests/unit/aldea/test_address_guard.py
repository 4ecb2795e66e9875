"""The address guard against URLs that were written to get inside."""

import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from aldea import address_guard
from aldea.address_guard import AddressGuard, GuardedClient, RefusedUrl, is_public

# Refused by their text alone, before any name is looked up.
HOSTILE_TEXTS = [
    # loopback, in every spelling
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://127.255.255.254/", "http://2130706433/",
    "http://017700000001/", "http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://0X7F.1/",
    "http://127.0.0.1./", "http://0/", "http://0.0.0.0/", "http://00000177.1/", "http://127.0.0x1/",
    "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://127%2e0%2e0%2e1/", "http://[::1]/", "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    # private, carrier-grade, link-local and the cloud's metadata
    "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/",
    "http://100.127.255.255/", "http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/v2/credentials",
    "http://2852039166/", "http://0xa9fea9fe/", "http://0251.0376.0251.0376/", "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/", "http://[fd00:ec2::254]/", "http://[fc00::1]/", "http://[fec0::1]/",
    # multicast, reserved, broadcast, documentation, benchmarks, relays
    "http://224.0.0.1/", "http://239.255.255.255/", "http://240.0.0.1/", "http://255.255.255.255/",
    "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/", "http://198.18.0.1/", "http://192.0.0.8/",
    "http://192.88.99.1/", "http://[ff02::1]/", "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[100::1]/",
    # IPv6 forms that carry an IPv4 address
    "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::ffff:8.8.8.8]/", "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::a00:1]/", "http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "http://[2a00::5efe:10.0.0.1]/", "http://[2a00::200:5efe:a00:1]/",
    # other schemes, ports, credentials, and texts on which parsers differ
    "ftp://example.com/", "file:///etc/passwd", "gopher://example.com:80/", "ws://example.com/", "javascript:alert(1)",
    "//example.com/", "example.com", "", "http://", "http:///path", "http:example.com", "http://:80/",
    "http://example.com:22/", "http://example.com:6379/", "http://example.com:0/", "http://example.com:65536/",
    "http://example.com:-80/", "http://example.com:8o/", "https://example.com:8800/", "http://user@example.com/",
    "http://user:pass@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/",
    "http://example.com\\.internal/", "http://exa mple.com/", "http://example.com/\r\nHost: x", "\thttp://example.com/",
    "http://example.com\x00.internal/", "http://a..b/", "http://.example.com/", "http://exam,ple.com/",
    "http://[::1", "http://[example.com]/", "http://1.2.3/", "http://1.2.3.4.5/", "http://256.1.1.1/",
    "http://example.com/" + "a" * 2048,
]  # fmt: skip

# Refused by what their names resolve to.
HOSTILE_ADDRESSES = [
    ["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["fd00:ec2::254"],
    ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["2002:a00:1::"], ["100.64.0.1"], ["0.0.0.0"],
    ["93.184.215.14", "10.0.0.1"], ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::1"], [],
]  # fmt: skip

PUBLIC = "93.184.215.14"


def infos(addresses: Sequence[str]) -> list[tuple[Any, ...]]:
    return [
        (socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 80))
        for text in addresses
    ]


@pytest.fixture
def guard() -> AddressGuard:
    return AddressGuard(lookup=lambda _host, _port: infos([PUBLIC]))


@pytest.mark.parametrize("url", HOSTILE_TEXTS)
def test_a_hostile_url_is_refused_by_its_text(guard: AddressGuard, url: str) -> None:
    with pytest.raises(RefusedUrl):
        guard.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.wav?X-Amz-Signature=a%2Fb&x=1", "http://example.com", "http://EXAMPLE.com:8080/x",
        "https://example.com:8443/", "http://93.184.215.14/", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        "https://bücher.example/", "http://a_b.example.co.uk./", "http://1password.example/", "http://4chan.7e/",
    ],
)  # fmt: skip
def test_an_ordinary_url_is_accepted(guard: AddressGuard, url: str) -> None:
    assert guard.check(url).raw_host


def test_the_url_stays_as_it_was_written(guard: AddressGuard) -> None:
    text = "https://example.com/a%20b.wav?X-Amz-Signature=a%2Fb&x=1"
    assert str(guard.check(text)) == text


def test_a_refusal_names_no_secret_of_the_url(guard: AddressGuard) -> None:
    with pytest.raises(RefusedUrl) as caught:
        guard.check("http://10.0.0.1/?signature=hunter2")
    assert "hunter2" not in caught.value.message
    assert "10.0.0.1" in caught.value.message


@pytest.mark.parametrize("addresses", HOSTILE_ADDRESSES)
async def test_a_name_with_any_inner_address_is_refused(addresses: list[str]) -> None:
    guard = AddressGuard(lookup=lambda _host, _port: infos(addresses))
    with pytest.raises(RefusedUrl, match="no public address"):
        await guard.check_resolved("http://innocent.example/")


async def test_an_unknown_name_and_an_inner_one_look_the_same() -> None:
    def unknown(_host: str, _port: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror("no such name")

    messages = []
    for lookup in (unknown, lambda _host, _port: infos(["10.0.0.1"])):
        with pytest.raises(RefusedUrl) as caught:
            await AddressGuard(lookup=lookup).check_resolved("http://db.internal/")
        messages.append(caught.value.message)
    assert messages[0] == messages[1]


async def test_a_name_server_that_never_responds_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_guard, "RESOLVE_SECONDS", 0.02)
    release = threading.Event()

    def slow(_host: str, _port: int) -> list[tuple[Any, ...]]:
        release.wait(60)
        return infos([PUBLIC])

    guard = AddressGuard(lookup=slow)
    with pytest.raises(RefusedUrl):
        await guard.check_resolved("http://slow.example/")
    release.set()
    guard.close()


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_of_global_unicast_is_public(address: Any) -> None:
    if is_public(address):
        assert int(address) >> 125 == 1
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_public(address: Any) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        assert not is_public(address)


@given(st.text(max_size=60))
def test_any_text_is_judged_without_another_exception(text: str) -> None:
    guard = AddressGuard()
    for url in (text, "http://" + text, "http://[" + text + "]/", "http://example.com" + text):
        try:
            guard.check(url)
        except RefusedUrl:
            continue


def test_loopback_is_reachable_only_by_the_setting() -> None:
    guard = AddressGuard(allow_loopback=True)
    for url in ("http://127.0.0.1:4711/", "http://[::1]:4711/", "http://localhost:4711/"):
        assert guard.check(url)
    for url in ("http://10.0.0.1/", "http://169.254.169.254/", "http://example.com:4711/", "http://2130706433/"):
        with pytest.raises(RefusedUrl):
            guard.check(url)


def test_the_last_look_before_connecting_refuses_too(guard: AddressGuard) -> None:
    with pytest.raises(OSError, match="address guard"):
        guard.connect_socket(infos(["10.0.0.1"])[0])


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[tuple[GuardedClient, str, int]]:
    """A server on loopback, and a client that may reach it."""
    app = web.Application()
    app.add_routes(list(routes))
    async with TestServer(app) as server, GuardedClient(AddressGuard(allow_loopback=True)) as client:
        yield client, str(server.make_url("/")).rstrip("/"), server.port or 0


async def ok(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.method} {(await request.read()).decode()}")


def redirect(status: int, location: str) -> Any:
    async def response(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return response


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fd00:ec2::254]/", "//192.168.0.1/x",
        "http://2852039166/", "file:///etc/passwd", "http://example.com:22/", "http://u:p@example.com/",
        "http://[::ffff:169.254.169.254]/", "http://x\\y/", "http://[::1",
    ],
)  # fmt: skip
async def test_a_redirect_to_a_refused_place_is_refused(location: str) -> None:
    async with serving(web.get("/", redirect(302, location))) as (client, base, _):
        with pytest.raises(RefusedUrl):
            async with client.open("GET", base + "/", seconds=60):
                pytest.fail("was followed")


async def test_redirects_are_followed_and_bounded() -> None:
    routes = (web.get("/a", redirect(301, "b?x=1")), web.get("/b", ok), web.get("/loop", redirect(302, "/loop")))
    async with serving(*routes) as (client, base, _):
        async with client.open("GET", base + "/a", seconds=60) as response:
            assert await response.text() == "GET "
            assert response.url.query_string == "x=1"
        with pytest.raises(RefusedUrl, match="more than 5"):
            async with client.open("GET", base + "/loop", seconds=60):
                pytest.fail("was followed for ever")


async def test_a_post_keeps_method_and_body_over_307_and_is_not_turned_into_a_get() -> None:
    routes = (
        web.post("/keep", redirect(307, "/end")), web.post("/turn", redirect(303, "/end")), web.post("/end", ok),
    )  # fmt: skip
    async with serving(*routes) as (client, base, _):
        async with client.open("POST", base + "/keep", seconds=60, body=b"result") as response:
            assert await response.text() == "POST result"
        async with client.open("POST", base + "/turn", seconds=60, body=b"result") as response:
            assert response.status == 303


async def test_a_name_whose_addresses_change_is_judged_again_at_each_connection() -> None:
    responses = [[PUBLIC], ["127.0.0.1"]]
    guard = AddressGuard(lookup=lambda _host, _port: infos(responses.pop(0)))
    async with GuardedClient(guard) as client:
        await guard.check_resolved("http://rebind.example/")
        with pytest.raises(RefusedUrl, match="no public address"):
            async with client.open("GET", "http://rebind.example/", seconds=60):
                pytest.fail("reached the inside")


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    async def whoami(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    app = web.Application()
    app.add_routes([web.get("/", whoami)])
    async with TestServer(app) as server:
        guard = AddressGuard(allow_loopback=True, lookup=lambda _host, _port: infos(["127.0.0.1"]))
        async with GuardedClient(guard) as client:
            url = f"http://localhost:{server.port}/"
            async with client.open("GET", url, seconds=60) as response:
                assert await response.text() == f"localhost:{server.port}"


async def test_a_host_that_never_responds_has_a_deadline() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    async with GuardedClient(AddressGuard(allow_loopback=True)) as client:
        with pytest.raises(TimeoutError):
            async with client.open("GET", f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.05):
                pytest.fail("there was a response")
    silent.close()


async def test_a_compressed_response_is_not_decompressed() -> None:
    async def bomb(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"not really gzip", headers={"Content-Encoding": "gzip"})

    async with (
        serving(web.get("/", bomb)) as (client, base, _),
        client.open("GET", base + "/", seconds=60) as response,
    ):
        assert await response.read() == b"not really gzip"


async def test_a_refused_connection_is_an_ordinary_client_error() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    async with GuardedClient(AddressGuard(allow_loopback=True)) as client:
        with pytest.raises(aiohttp.ClientError):
            async with client.open("GET", f"http://127.0.0.1:{port}/", seconds=60):
                pytest.fail("there was a response")


async def test_the_client_says_when_it_is_used_outside_of_its_context() -> None:
    with pytest.raises(RuntimeError, match="context"):
        async with GuardedClient(AddressGuard()).open("GET", "http://example.com/", seconds=1):
            pytest.fail("was sent")


def test_a_scoped_address_is_not_public() -> None:
    assert not is_public(ip_address("2606:2800::1%eth0"))


def test_a_host_that_is_read_only_on_demand_is_refused_and_no_crash() -> None:
    with pytest.raises(RefusedUrl):
        AddressGuard().check("http://[:;]/")
