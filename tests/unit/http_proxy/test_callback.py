"""Callbacks: what is asked for, what is delivered, how it is signed, when it is tried again."""

import asyncio
import hashlib
import json
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea import errors
from aldea.address_guard import AddressGuard, GuardedClient
from aldea.redis_faults import RedisUnavailable
from aldea.tasks import cancel, spawn
from http_proxy import callback
from http_proxy.callback import CallbackRequest, Couriers, payload, requested, signature
from http_proxy.deliveries import Delivery
from tests.unit.http_proxy.servers import raw_server, silent


def test_a_query_without_callback_asks_for_none() -> None:
    assert requested("model=a&metadata=x&callback_method=PUT") is None


def test_a_callback_is_read_from_the_query() -> None:
    query = "callback=https%3A%2F%2Fexample.com%2F%3Fa%3D1&callback_method=put&metadata=%7B%22a%22%3A1%7D"
    assert requested(query) == CallbackRequest("https://example.com/?a=1", "PUT", '{"a": 1}')
    assert requested("callback=https://example.com") == CallbackRequest("https://example.com", "POST", None)


def test_metadata_that_is_no_json_comes_back_as_a_text() -> None:
    found = requested("callback=https://x.example&metadata=job+7")
    assert found is not None
    assert found.metadata == '"job 7"'


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "-Infinity",
        "[1e999]",
        '{"a": NaN}',
        "[" * 2000,
        "1" * 4096,
        '"\\ud800"',
        "%ed%a0%80",
        "%ff",
        "%00",
        '{"a":1,}',
    ],
)
def test_metadata_that_not_every_receiver_could_read_comes_back_as_a_text(text: str) -> None:
    found = requested(f"callback=https://x.example&metadata={text}")
    assert found is not None
    assert found.metadata is not None

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    body = payload('{"a": 1}', found.metadata)
    read = json.loads(body.encode().decode(), parse_constant=refuse)
    assert isinstance(read["callback_metadata"], str) or text.isdecimal()


@pytest.mark.parametrize(
    "query",
    [
        "callback=", "callback=https://a.example&callback=https://b.example",
        "callback=https://a.example&callback_method=GET", "callback=https://a.example&metadata=" + "x" * 5000,
    ],
)  # fmt: skip
def test_an_unusable_callback_is_refused(query: str) -> None:
    with pytest.raises(errors.BadRequest):
        requested(query)


def test_metadata_becomes_the_first_member_of_the_result() -> None:
    assert payload('{"a":1}', None) == '{"a":1}'
    assert json.loads(payload(' {"a":1}', '{"job":7}')) == {"callback_metadata": {"job": 7}, "a": 1}
    assert json.loads(payload("{ }", '"x"')) == {"callback_metadata": "x"}
    assert payload("[1]", '"x"') == "[1]", "what is no object stays as it is"


def test_the_signature_is_what_the_documentation_says() -> None:
    # Computed with: printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
    digest = "b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
    assert signature("secret", b"{}", 1_700_000_000) == f"t=1700000000,v1={digest}"


def test_the_receivers_check_in_the_documentation_tells_genuine_from_forged() -> None:
    text = (Path(__file__).parents[3] / "docs" / "recorded-audio.md").read_text()
    source = textwrap.dedent(text[text.index("    import hashlib, hmac, time") : text.index("## Limits")])
    documented: dict[str, Any] = {}
    exec(source, documented)
    genuine, body, now = documented["genuine"], b'{"results":{}}', int(time.time())
    secret = hashlib.sha256(b"org_key").hexdigest()
    assert genuine(signature(secret, body, now), body, "org_key")
    assert not genuine(signature(secret, body, now), body + b" ", "org_key")
    assert not genuine(signature(secret, body, now), body, "org_other")
    assert not genuine(signature(secret, body, now - 3600), body, "org_key"), "an old delivery played again"


class Store:
    """Deliveries in memory."""

    def __init__(self, *waiting: Delivery) -> None:
        self.records = {delivery.request_id: delivery for delivery in waiting}
        self.due = list(self.records)
        self.events: list[Any] = []
        self.unavailable = False

    async def take(self, most: int, seconds: float) -> list[str]:
        if self.unavailable:
            raise RedisUnavailable("gone")
        taken, self.due = self.due[:most], self.due[most:]
        return taken

    async def read(self, request_id: str) -> Delivery | None:
        return self.records.get(request_id)

    async def again(self, delivery: Delivery, attempts: int, seconds: float) -> None:
        self.events.append(("again", attempts, seconds))

    async def done(self, request_id: str) -> None:
        self.events.append(("done", request_id))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                await asyncio.sleep(0.005)


def delivery(url: str, attempts: int = 0, request_id: str = "id") -> Delivery:
    return Delivery(
        request_id=request_id,
        url=url,
        method="POST",
        body='{"a":1}',
        content_type="application/json",
        secret="s",
        reading="{}",
        attempts=attempts,
    )


async def deliver(store: Store, events: int = 1, **changes: Any) -> list[Any]:
    settings: Any = {"retries": 2, "retry_seconds": 30, "attempt_seconds": 5, **changes}
    deliveries: Any = store
    async with GuardedClient(AddressGuard(allow_loopback=True)) as client:
        running = spawn(Couriers(deliveries, client, **settings).run(), name="couriers")
        await store.until(events)
        await cancel(running)
    return store.events


async def hook(status: int, url: str = "/hook") -> TestServer:
    async def receive(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post(url, receive)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.mark.parametrize(
    ("status", "attempts", "event"),
    [
        (204, 0, ("done", "id")),
        (500, 0, ("again", 1, 30)),
        (302, 1, ("again", 2, 30)),
        (500, 2, ("done", "id")),
    ],
)
async def test_the_answer_decides_what_becomes_of_a_delivery(status: int, attempts: int, event: Any) -> None:
    server = await hook(status)
    assert await deliver(Store(delivery(str(server.make_url("/hook")), attempts))) == [event]
    await server.close()


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://127.0.0.1:1/", "nonsense"])
async def test_what_cannot_be_reached_is_tried_again(url: str) -> None:
    assert await deliver(Store(delivery(url))) == [("again", 1, 30)]


async def test_a_delivery_that_cannot_even_be_sent_counts_as_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object, **_more: object) -> None:
        raise ValueError("a header that aiohttp refuses")

    monkeypatch.setattr(GuardedClient, "open", fails)
    assert await deliver(Store(delivery("http://127.0.0.1:1/"))) == [("again", 1, 30)]


async def test_a_receiver_that_never_answers_is_tried_again() -> None:
    async with raw_server(silent) as port:
        store = Store(delivery(f"http://127.0.0.1:{port}/"))
        assert await deliver(store, attempt_seconds=0.05) == [("again", 1, 30)]


async def test_a_delivery_that_another_process_finished_is_forgotten() -> None:
    store = Store()
    store.due = ["gone"]
    assert await deliver(store) == [("done", "gone")]


async def test_many_deliveries_share_the_couriers_and_survive_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "LOOK_SECONDS", 0.01)
    server = await hook(200)
    url = str(server.make_url("/hook"))
    store = Store(*(delivery(url, request_id=f"id-{number}") for number in range(30)))
    store.unavailable = True
    asyncio.get_running_loop().call_later(0.05, setattr, store, "unavailable", False)
    events = await deliver(store, 30)
    assert sorted(events) == sorted(("done", f"id-{number}") for number in range(30))
    await server.close()
