"""SQS queues behind deadlines: one client per process, whole batches per call, failures of single entries named."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeVar

import aiohttp
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError

from aldea.sqs_settings import SqsSettings
from aldea.tasks import being_cancelled

T = TypeVar("T")

log = structlog.get_logger("aldea.sqs")

# SQS's own limits: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ENTRIES: Final = 10
MAX_CALL_BYTES: Final = 900_000  # a call may carry 1 MiB; the rest is room for attributes and escapes
MAX_WAIT_SECONDS: Final = 20
# A call other than a long poll returns within milliseconds or not at all. The inner deadline (per attempt) lets the
# client library retry once on a fresh connection before the outer one ends the call.
CONNECT_SECONDS: Final = 2.0
CALL_SECONDS: Final = 10.0
ATTEMPTS: Final = 2
# So long a process waits for its first credentials, with a new request after each pause.
CREDENTIALS_SECONDS: Final = 60.0
CREDENTIALS_PAUSE_SECONDS: Final = 1.0
# Workers that poll, plus their deletes and extensions; more would only queue inside the process.
MAX_CONNECTIONS: Final = 32


class SqsUnavailable(Exception):
    """The queue could not be reached in time or refused the call as a whole; nothing is known to have happened."""


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. `receives`: how often it was received so far, this time included.

    `receipt` is another one at each receipt, `message_id` the same.
    """

    body: str
    receipt: str
    receives: int
    sent_ms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Depth:
    """About how many messages a queue holds (SQS's own figures are approximate)."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


@cache
def _session() -> AioSession:
    """The process's session: it reads the description of SQS, a large file, only once."""
    return get_session()


@asynccontextmanager
async def connect(settings: SqsSettings) -> AsyncIterator[Any]:
    """One SQS client for the process. Credentials come from the environment or the task role."""
    config = AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=MAX_WAIT_SECONDS + CALL_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=MAX_CONNECTIONS,
    )

    async def create() -> Any:
        created = _session().create_client(
            "sqs", region_name=settings.aws_region, endpoint_url=settings.sqs_endpoint_url, config=config
        )
        return await created.__aenter__()

    client = await _once_there_are_credentials(create)
    try:
        yield client
    finally:
        await client.close()


async def _once_there_are_credentials(create: Callable[[], Awaitable[T]]) -> T:
    """A client, which calls the task's credentials endpoint as it is made. Raises BotoCoreError after a minute.

    The endpoint of a task that has just started does not always respond at once; to end the process for that would only
    start the next one in the same place.
    """
    until = time.monotonic() + CREDENTIALS_SECONDS
    while True:
        try:
            return await create()
        except BotoCoreError as error:
            if time.monotonic() + CREDENTIALS_PAUSE_SECONDS >= until:
                raise
            log.warning("no credentials yet, trying again", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(CREDENTIALS_PAUSE_SECONDS)


def call_ranges(sizes: Sequence[int]) -> list[range]:
    """Which messages of these sizes (bytes) go into which call: at most ten, and within the size of a call."""
    ranges: list[range] = []
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == MAX_ENTRIES or total + size > MAX_CALL_BYTES):
            ranges.append(range(start, index))
            start, total = index, 0
        total += size
    if sizes:
        ranges.append(range(start, len(sizes)))
    return ranges


class Queue:
    """One queue of a client. Every call ends within its deadline, or raises SqsUnavailable."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self.url = url

    async def send(self, bodies: Sequence[str]) -> dict[int, str]:
        """Send at most ten bodies in one call. Returns index → reason of those that SQS did not accept."""
        entries = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        response = await _within(CALL_SECONDS, self._client.send_message_batch(QueueUrl=self.url, Entries=entries))
        accepted = {int(entry["Id"]) for entry in response.get("Successful", ())}
        reasons = _failures(response)
        return {
            index: reasons.get(index, "not named in the response")
            for index in range(len(bodies))
            if index not in accepted
        }

    async def receive(
        self, *, wait: int = MAX_WAIT_SECONDS, visibility: int, limit: int = MAX_ENTRIES
    ) -> list[Message]:
        """Long poll: up to `limit` messages as soon as there is one, none after `wait` seconds.

        They stay hidden from other receivers for `visibility` seconds.
        """
        response = await _within(
            wait + CALL_SECONDS,
            self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=wait,
                VisibilityTimeout=visibility,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            ),
        )
        return [
            Message(
                body=raw["Body"],
                receipt=raw["ReceiptHandle"],
                receives=int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                sent_ms=int(raw.get("Attributes", {}).get("SentTimestamp", 0)),
                message_id=raw["MessageId"],
            )
            for raw in response.get("Messages", ())
        ]

    async def delete(self, receipts: Sequence[str]) -> dict[int, str]:
        """Delete at most ten messages in one call. Returns index → reason of those that are still there."""
        entries = [{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(receipts)]
        return _failures(
            await _within(CALL_SECONDS, self._client.delete_message_batch(QueueUrl=self.url, Entries=entries))
        )

    async def hide(self, seconds: Mapping[str, int]) -> dict[str, str]:
        """Keep at most ten messages hidden, each for its seconds from now (0: visible again at once).

        `seconds`: by receipt. Returns receipt → reason of those that SQS did not hide.
        """
        receipts = list(seconds)
        entries = [
            {"Id": str(index), "ReceiptHandle": receipt, "VisibilityTimeout": seconds[receipt]}
            for index, receipt in enumerate(receipts)
        ]
        call = self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        failed = _failures(await _within(CALL_SECONDS, call))
        return {receipts[index]: reason for index, reason in failed.items()}

    async def depth(self) -> Depth:
        """About how many messages it holds."""
        names = (
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        )
        call = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names))
        found = (await _within(CALL_SECONDS, call)).get("Attributes", {})
        return Depth(*(int(found.get(name, 0)) for name in names))


async def _within(seconds: float, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        raise SqsUnavailable(f"SQS did not respond within {seconds:g} s") from None
    except (BotoCoreError, ClientError, aiohttp.ClientError, OSError) as error:
        if being_cancelled():  # the library makes an HTTPClientError of it
            raise asyncio.CancelledError from error
        raise SqsUnavailable(f"{type(error).__name__}: {error}") from error


def _failures(response: dict[str, Any]) -> dict[int, str]:
    return {
        int(entry["Id"]): f"{entry.get('Code', 'unknown')}: {entry.get('Message', '')}"
        for entry in response.get("Failed", ())
    }
