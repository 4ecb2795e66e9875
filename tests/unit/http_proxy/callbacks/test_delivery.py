"""Callbacks: what is requested, what is delivered, how it is signed, when it is tried again."""

import asyncio
import hashlib
import json
import textwrap
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aldea import errors
from aldea.address_guard import AddressGuard, GuardedClient
from aldea.redis.errors import RedisUnavailable
from aldea.tasks import cancel, spawn
from http_proxy.callbacks import delivery as callback
from http_proxy.callbacks.delivery import CallbackRequest, CallbackWorker, payload, requested, signature
from http_proxy.callbacks.receivers import HUNG_IN_A_ROW
from http_proxy.callbacks.store import Delivery, Taken
from tests.unit.http_proxy.servers import raw_server, silent


def test_a_query_without_callback_requests_none() -> None:
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


def test_the_receivers_check_in_the_documentation_distinguishes_genuine_from_forged() -> None:
    text = (Path(__file__).parents[4] / "docs" / "recorded-audio.md").read_text()
    begin = text.index("    import hashlib, hmac, time")
    source = textwrap.dedent(text[begin : text.index("\n## ", begin)])
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
        self.size = 10
        self.under_way = self.at_once = 0

    async def take(
        self, most: int, seconds: float, *, most_bytes: int, one_at_least: bool, passed_over: Collection[str]
    ) -> list[Taken]:
        """As the script: one of each project."""
        if self.unavailable:
            raise RedisUnavailable("unavailable")
        found: dict[str, Taken] = {}
        for request_id in self.due:
            waiting = self.records.get(request_id, delivery("", request_id=request_id))
            taken = Taken(request_id, waiting.project_id, self.size, waiting.url, waiting.attempts)
            fits = taken.size <= most_bytes or (one_at_least and not found)
            if taken.project_id not in {*found, *passed_over} and len(found) < most and fits:
                found[taken.project_id] = taken
                most_bytes -= taken.size
        self.due = [
            request_id for request_id in self.due if request_id not in {one.request_id for one in found.values()}
        ]
        self.at_once = max(self.at_once, self.under_way + len(found))
        self.under_way += len(found)
        return list(found.values())

    async def read(self, request_id: str) -> Delivery | None:
        return self.records.get(request_id)

    async def again(self, taken: Taken, attempts: int, seconds: float) -> None:
        self.under_way -= 1
        self.events.append(("again", attempts, seconds))

    async def done(self, taken: Taken, *, failure: str | None = None) -> None:
        self.under_way -= 1
        self.events.append(("done", taken.request_id) if failure is None else ("given up", failure))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.events) < count:
                await asyncio.sleep(0.005)


def delivery(url: str, attempts: int = 0, request_id: str = "id", project: str = "p") -> Delivery:
    return Delivery(
        request_id=request_id,
        url=url,
        method="POST",
        body='{"a":1}',
        content_type="application/json",
        secret="s",
        reading=json.dumps({"project_id": project}),
        attempts=attempts,
    )


async def deliver(store: Store, events: int = 1, **changes: Any) -> list[Any]:
    settings: Any = {"retries": 2, "retry_seconds": 30, "attempt_seconds": 5, **changes}
    deliveries: Any = store
    async with GuardedClient(AddressGuard(allow_loopback=True)) as client:
        running = spawn(CallbackWorker(deliveries, client, **settings).run(), name="callback-worker")
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
        (500, 2, ("given up", "responded 500")),
    ],
)
async def test_the_response_decides_what_becomes_of_a_delivery(status: int, attempts: int, event: Any) -> None:
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


async def test_a_receiver_that_never_responds_is_tried_again() -> None:
    async with raw_server(silent) as port:
        store = Store(delivery(f"http://127.0.0.1:{port}/"))
        assert await deliver(store, attempt_seconds=0.05) == [("again", 1, 30)]


async def test_a_delivery_that_another_process_finished_is_forgotten() -> None:
    store = Store()
    store.due = ["gone"]
    assert await deliver(store) == [("done", "gone")]


async def test_many_deliveries_share_the_callback_workers_and_survive_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callback, "LOOK_SECONDS", 0.01)
    server = await hook(200)
    url = str(server.make_url("/hook"))
    store = Store(*(delivery(url, request_id=f"id-{number}") for number in range(30)))
    store.unavailable = True
    asyncio.get_running_loop().call_later(0.05, setattr, store, "unavailable", False)
    events = await deliver(store, 30)
    assert sorted(events) == sorted(("done", f"id-{number}") for number in range(30))
    await server.close()


async def test_a_project_whose_receivers_all_hang_has_its_share_of_attempts_and_no_more() -> None:
    server = await hook(200)
    async with raw_server(silent) as port:
        hanging = [
            delivery(f"http://127.0.0.1:{port}/", request_id=f"a-{number}", project="a") for number in range(100)
        ]
        well = [delivery(str(server.make_url("/hook")), request_id=f"b-{number}", project="b") for number in range(20)]
        store = Store(*hanging, *well)
        events = await deliver(store, 20, attempt_seconds=60)
    assert sorted(events) == sorted(("done", f"b-{number}") for number in range(20))
    assert store.at_once <= 2 * callback.PROJECT_ATTEMPTS
    await server.close()


@pytest.mark.parametrize(("size", "at_once"), [(callback.PROJECT_HELD_BYTES, 4), (callback.HELD_BYTES * 9, 1)])
async def test_what_attempts_hold_of_memory_is_bounded_for_a_project_and_together(size: int, at_once: int) -> None:
    async with raw_server(silent) as port:
        url = f"http://127.0.0.1:{port}/"
        waiting = (delivery(url, request_id=f"{p}-{n}", project=str(p)) for p in range(10) for n in range(3))
        store = Store(*waiting)
        store.size = size
        await deliver(store, 3, attempt_seconds=0.2, retries=0)
    assert store.at_once == at_once


async def test_a_receiver_that_hangs_again_and_again_is_not_tried_for_each_of_its_deliveries() -> None:
    tried = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        await silent(reader, writer)

    async with raw_server(hang) as port:
        store = Store(*(delivery(f"http://127.0.0.1:{port}/", request_id=f"id-{number}") for number in range(50)))
        events = await deliver(store, 50, attempt_seconds=0.1)
    assert events == [("again", 1, 30)] * 50
    assert HUNG_IN_A_ROW <= tried < HUNG_IN_A_ROW + callback.PROJECT_ATTEMPTS


async def test_a_delivery_under_way_is_finished_before_the_end_and_none_is_begun() -> None:
    response = asyncio.Event()
    begun = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        await request.read()
        begun.set()
        await response.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    async with TestServer(app) as server, GuardedClient(AddressGuard(allow_loopback=True)) as client:
        store: Any = Store(delivery(str(server.make_url("/hook"))))
        callback_worker = CallbackWorker(store, client, retries=2, retry_seconds=30, attempt_seconds=60)
        running = spawn(callback_worker.run(), name="callback-worker")
        await begun.wait()
        finishing = spawn(callback_worker.finish(), name="finish")
        store.due.append("id-2")
        callback_worker.wake()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not finishing.done()
        response.set()
        await asyncio.wait_for(finishing, 60)
        await cancel(running)
    assert (store.events, store.due) == ([("done", "id")], ["id-2"])
