import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiobotocore.session import AioSession
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError
from botocore.utils import ContainerMetadataFetcher

from aldea import sqs
from aldea.settings import read
from aldea.sqs import Queue, SqsUnavailable, call_ranges
from aldea.sqs_settings import SqsSettings
from aldea.tasks import cancel, spawn


class FixedResponse:
    """A client whose every call returns one thing, or raises it."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.called: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        async def call(**arguments: Any) -> Any:
            self.called = arguments
            if isinstance(self.response, Exception):
                raise self.response
            return self.response

        return call


SETTINGS = read(SqsSettings, port=0, usage_queue_url="http://127.0.0.1:1/q", usage_dlq_url="http://127.0.0.1:1/d")


class Reluctant:
    """A task's credentials endpoint that responds only at the `good`-th time."""

    def __init__(self, good: int) -> None:
        self.good = good
        self.called = 0

    async def response(self, _request: web.Request) -> web.Response:
        self.called += 1
        if self.called < self.good:
            return web.Response(status=500, text="not yet")
        given = {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "2099-01-01T00:00:00Z"}
        return web.json_response(given)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client library's own pauses, and ours, left out; no credentials but the endpoint's."""
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(sqs, "CREDENTIALS_PAUSE_SECONDS", 0)
    monkeypatch.setattr(sqs, "_session", AioSession)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


async def test_a_process_waits_for_its_first_credentials(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Reluctant(good=8)  # the library tries three times at each attempt
    app = web.Application()
    app.router.add_get("/credentials", endpoint.response)
    async with TestServer(app) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/credentials")))
        async with sqs.connect(SETTINGS) as client:
            assert client.meta.region_name == "us-west-2"
    assert endpoint.called == 8


async def test_a_process_without_credentials_for_a_minute_ends(hurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs, "CREDENTIALS_SECONDS", 0)
    endpoint = Reluctant(good=100)
    app = web.Application()
    app.router.add_get("/credentials", endpoint.response)
    async with TestServer(app) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", str(server.make_url("/credentials")))
        with pytest.raises(BotoCoreError):
            async with sqs.connect(SETTINGS):
                pass


async def test_entries_that_sqs_did_not_accept_are_named_also_when_its_response_omits_them() -> None:
    response = {"Successful": [{"Id": "0"}], "Failed": [{"Id": "2", "Code": "Internal", "Message": "try again"}]}
    failed = await Queue(FixedResponse(response), "url").send(["a", "b", "c"])
    assert failed == {1: "not named in the response", 2: "Internal: try again"}


async def test_every_way_in_which_a_call_fails_is_one_error() -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessageBatch")
    for error in (refused, EndpointConnectionError(endpoint_url="x"), aiohttp.ClientError(), OSError(), TimeoutError()):
        with pytest.raises(SqsUnavailable):
            await Queue(FixedResponse(error), "url").send(["a"])


async def test_a_call_without_a_response_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def delete_message_batch(self, **_arguments: Any) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(sqs, "CALL_SECONDS", 0.01)
    with pytest.raises(SqsUnavailable, match="did not respond"):
        await Queue(Silent(), "url").delete(["receipt"])


async def test_a_library_that_makes_an_error_of_a_cancellation_does_not_keep_its_caller_alive() -> None:
    calling = asyncio.Event()

    class Swallowing:
        async def delete_message_batch(self, **_arguments: Any) -> None:
            try:
                calling.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                raise HTTPClientError(error=error) from error

    async def for_ever() -> None:
        while True:
            with suppress(SqsUnavailable):
                await Queue(Swallowing(), "url").delete(["receipt"])

    task = spawn(for_ever(), name="for-ever")
    async with asyncio.timeout(60):
        await calling.wait()
        await cancel(task)
    assert task.cancelled()


async def test_a_received_message_says_how_often_and_since_when() -> None:
    attributes = {"ApproximateReceiveCount": "3", "SentTimestamp": "17"}
    raw = {"MessageId": "m", "Body": "b", "ReceiptHandle": "r", "Attributes": attributes}
    client = FixedResponse({"Messages": [raw]})
    [message] = await Queue(client, "url").receive(wait=0, visibility=9)
    assert (message.body, message.receipt, message.receives, message.sent_ms) == ("b", "r", 3, 17)
    assert message.message_id == "m"
    assert client.called["VisibilityTimeout"] == 9


async def test_each_message_is_hidden_for_its_own_time_and_those_that_are_not_are_named_by_their_receipt() -> None:
    client = FixedResponse({"Failed": [{"Id": "1", "Code": "InvalidParameterValue", "Message": "not in flight"}]})
    failed = await Queue(client, "url").hide({"first": 2, "second": 900})
    assert failed == {"second": "InvalidParameterValue: not in flight"}
    assert [(one["ReceiptHandle"], one["VisibilityTimeout"]) for one in client.called["Entries"]] == [
        ("first", 2),
        ("second", 900),
    ]


def test_calls_hold_at_most_ten_messages_and_900_kilobytes() -> None:
    assert call_ranges([]) == []
    assert call_ranges([1] * 25) == [range(10), range(10, 20), range(20, 25)]
    assert call_ranges([400_000, 400_000, 400_000]) == [range(2), range(2, 3)]
    assert call_ranges([2_000_000, 1]) == [range(1), range(1, 2)]
