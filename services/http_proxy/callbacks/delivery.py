"""Callbacks: what a request says of them, how a result is signed, and the worker that delivers it with retries."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog

from aldea import errors
from aldea.address_guard import GuardedClient, RefusedUrl
from aldea.headers import REQUEST_ID_HEADER
from aldea.lookups import on_behalf_of
from aldea.redis.errors import RedisError, RedisUnavailable
from aldea.tasks import cancel, spawn, woken
from http_proxy import metrics
from http_proxy.callbacks.receivers import Receivers
from http_proxy.callbacks.store import Deliveries, Delivery, Taken
from http_proxy.heads import parameters

log = structlog.get_logger("http_proxy.callbacks.delivery")

SIGNATURE_HEADER: Final = "Aldea-Signature"
MAX_METADATA: Final = 4096
# Attempts at a time. One at a receiver that hangs holds a connection and its result for as long as an attempt may last.
CONCURRENT_ATTEMPTS: Final = 64
# Of these a project has at most so many: all its receivers may hang, and others' results are delivered all the same.
PROJECT_ATTEMPTS: Final = 4
# Results are up to 8 MiB each: what those on their way hold of a process's memory, and a project's share of that.
HELD_BYTES: Final = 64 << 20
PROJECT_HELD_BYTES: Final = 16 << 20
# How often a process without work looks for what has become due; jittered, so that a fleet spreads out.
LOOK_SECONDS: Final = 1.0
# A delivery is taken for so many times what an attempt may last; after that, the process that took it must have died.
TAKEN_FOR_ATTEMPTS: Final = 2.0


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """What a request says about its callback; `metadata` is the customer's own JSON, passed back with the result."""

    url: str
    method: str
    metadata: str | None


def requested(query: str) -> CallbackRequest | None:
    """The callback that this raw query requests, None if it requests none. Raises BadRequest."""
    urls = parameters(query, "callback")
    if not urls:
        return None
    if len(urls) > 1 or not urls[0]:
        raise errors.BadRequest("The parameter callback must be given once, with a URL.")
    method = (parameters(query, "callback_method") or ["POST"])[-1].upper()
    if method not in {"POST", "PUT"}:
        raise errors.BadRequest(f"The parameter callback_method is {method[:20]!r}; allowed are POST and PUT.")
    given = parameters(query, "metadata")
    metadata = given[-1] if given else None
    if metadata is not None:
        if len(metadata) > MAX_METADATA:
            raise errors.BadRequest(f"The parameter metadata is longer than {MAX_METADATA} characters.")
        metadata = _as_json(metadata)
    return CallbackRequest(urls[0], method, metadata)


def _as_json(text: str) -> str:
    """`text` if it is JSON that every receiver can read, else JSON of it as a text.

    What Python reads beyond RFC 8259 is a text: NaN, Infinity, numbers that are too large for a double, halves of
    surrogate pairs.
    """
    try:
        found = json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False)
        found.encode()
    except (ValueError, RecursionError):
        return json.dumps(text.encode("utf-8", "replace").decode())
    return found


def payload(result: str, metadata: str | None) -> str:
    """The body that is delivered: the response's JSON, with the customer's metadata as its first member."""
    opening, brace, rest = result.partition("{")
    if metadata is None or not brace or opening.strip():
        return result
    comma = "" if rest.lstrip().startswith("}") else ","
    return f'{{"callback_metadata":{metadata}{comma}{rest}'


def signature(secret: str, body: bytes, timestamp: int) -> str:
    """The value of the signature header: HMAC-SHA256 over `<timestamp>.<body>`.

    The key is the lower-case hex SHA-256 of the API key that made the request: the customer can compute it, and the
    platform keeps nothing else of a key. The time keeps an old delivery from being played again.
    """
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class CallbackWorker:
    """Delivers what waits in Redis, of this process and of those that died."""

    def __init__(
        self,
        deliveries: Deliveries,
        client: GuardedClient,
        *,
        retries: int,
        retry_seconds: float,
        attempt_seconds: float,
    ) -> None:
        """See the settings of the same names."""
        self._deliveries = deliveries
        self._client = client
        self._retries = retries
        self._retry_seconds = retry_seconds
        self._attempt_seconds = attempt_seconds
        self._receivers = Receivers(pause_seconds=retry_seconds)
        self._running: dict[asyncio.Task[None], Taken] = {}
        self._wake = asyncio.Event()
        self._taking = asyncio.Lock()
        self._finishing = False

    def wake(self) -> None:
        """Something has become due just now."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Attempts under way are then cut, and made again later: call `finish` before."""
        try:
            while True:
                self._wake.clear()
                async with self._taking:
                    await self._start_due()
                await woken(self._wake, LOOK_SECONDS)
        finally:
            await cancel(*self._running)

    async def finish(self) -> None:
        """Begin no attempt any more, and wait until the last of those under way has ended: others deliver the rest."""
        self._finishing = True
        async with self._taking:
            pass  # what Redis is giving out just now is under way, too
        while self._running:
            await asyncio.wait(set(self._running))

    async def _start_due(self) -> None:
        while not self._finishing and (free := CONCURRENT_ATTEMPTS - len(self._running)) > 0:
            held = sum(taken.size for taken in self._running.values())
            try:
                found = await self._deliveries.take(
                    free,
                    self._attempt_seconds * TAKEN_FOR_ATTEMPTS,
                    most_bytes=HELD_BYTES - held,
                    one_at_least=not self._running,  # a setting allows results that are larger than all of that
                    passed_over=self._full_projects(),
                )
            except RedisUnavailable:
                return  # it is looked at again soon, and the deliveries wait
            except RedisError:
                log.exception("callback take failed")
                return
            if not found:
                return
            for taken in found:
                task = spawn(self._deliver(taken), name=f"callback {taken.request_id}")
                self._running[task] = taken
                task.add_done_callback(self._ended)

    def _full_projects(self) -> list[str]:
        """Projects that have their share of attempts or memory."""
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for taken in self._running.values():
            counts[taken.project_id] += 1
            sizes[taken.project_id] += taken.size
        return [
            project for project in counts if counts[project] >= PROJECT_ATTEMPTS or sizes[project] >= PROJECT_HELD_BYTES
        ]

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.pop(task, None)
        self._wake.set()

    async def _deliver(self, taken: Taken) -> None:
        try:
            if self._receivers.may_try(taken.project_id, taken.url):
                delivery = await self._deliveries.read(taken.request_id)
                if delivery is None:
                    await self._deliveries.done(taken)
                    return
                failure = await self._attempt(delivery)
            else:
                # It counts as an attempt: others at this receiver were made in the same time and got no response.
                failure = "its receiver has not responded lately"
            await self._settle(taken, failure)
        except RedisUnavailable as error:
            # The delivery becomes due again by itself; the customer may get it twice.
            log.warning("callback state write failed", request_id=taken.request_id, reason=str(error))

    async def _settle(self, taken: Taken, failure: str | None) -> None:
        request_id, attempts = taken.request_id, taken.attempts + 1
        if failure is None:
            await self._deliveries.done(taken)
            metrics.CALLBACKS.labels("delivered").inc()
            log.info("callback delivered", request_id=request_id, attempts=attempts)
        elif attempts > self._retries:
            await self._deliveries.done(taken, failure=failure)
            metrics.CALLBACKS.labels("given up").inc()
            log.error("callback delivery abandoned", request_id=request_id, attempts=attempts, reason=failure)
        else:
            await self._deliveries.again(taken, attempts, self._retry_seconds)
            metrics.CALLBACKS.labels("failed").inc()
            log.warning("callback delivery failed", request_id=request_id, attempts=attempts, reason=failure)

    async def _attempt(self, delivery: Delivery) -> str | None:
        """Send it once; None, or why it failed. Notes whether its receiver hangs."""
        with on_behalf_of(delivery.project_id):
            failure, hung = await self._send(delivery)
        (self._receivers.hung if hung else self._receivers.responded)(delivery.project_id, delivery.url)
        return failure

    async def _send(self, delivery: Delivery) -> tuple[str | None, bool]:
        """Why it failed, if it did, and whether that took all the time there was."""
        body = delivery.body.encode()
        headers = {
            "Content-Type": delivery.content_type,
            REQUEST_ID_HEADER: delivery.request_id,
            SIGNATURE_HEADER: signature(delivery.secret, body, int(time.time())),
        }
        try:
            async with self._client.open(
                delivery.method, delivery.url, seconds=self._attempt_seconds, headers=headers, body=body
            ) as response:
                return None if 200 <= response.status < 300 else f"responded {response.status}", False
        except RefusedUrl as refused:
            return f"refused: {refused.message}", False
        except TimeoutError:
            return f"no response within {self._attempt_seconds:g} s", True
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}", False
        except Exception as error:
            # Counted like any failure; otherwise this delivery would be tried without end.
            log.exception("callback send failed", request_id=delivery.request_id)
            return f"{type(error).__name__}", False
