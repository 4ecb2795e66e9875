"""Callbacks: what a request asks for, how a result is signed, and the courier that delivers it with retries."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog
from redis.exceptions import RedisError

from aldea import errors
from aldea.address_guard import GuardedClient, RefusedUrl
from aldea.headers import REQUEST_ID_HEADER
from aldea.redis_faults import RedisUnavailable
from aldea.tasks import cancel, spawn
from http_proxy import metrics
from http_proxy.deliveries import Deliveries, Delivery
from http_proxy.rewrite import parameters

log = structlog.get_logger("http_proxy.callback")

SIGNATURE_HEADER: Final = "Aldea-Signature"
MAX_METADATA: Final = 4096
# Results are up to 8 MiB each; so many at once bound what a process holds, slow receivers included.
COURIERS: Final = 8
# How often a process without work looks for what has become due; jittered, so that a fleet spreads out.
LOOK_SECONDS: Final = 1.0
# A delivery is taken for so many times what an attempt may last; then whoever took it must have died.
TAKEN_FOR_ATTEMPTS: Final = 2.0


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """What a request says about its callback; `metadata` is the customer's own JSON, passed back with the result."""

    url: str
    method: str
    metadata: str | None


def requested(query: str) -> CallbackRequest | None:
    """The callback that this raw query asks for, None if it asks for none. Raises BadRequest."""
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
    """The body that is delivered: the answer's JSON, with the customer's metadata as its first member."""
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


class Couriers:
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
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something has become due just now."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever. When it is cancelled, deliveries under way are finished first."""
        try:
            while True:
                self._wake.clear()
                await self._start_due()
                try:
                    async with asyncio.timeout(LOOK_SECONDS * random.uniform(0.5, 1.5)):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            if self._running:
                await asyncio.wait(self._running, timeout=self._attempt_seconds)
            await cancel(*self._running)

    async def _start_due(self) -> None:
        free = COURIERS - len(self._running)
        if free <= 0:
            return
        try:
            ids = await self._deliveries.take(free, self._attempt_seconds * TAKEN_FOR_ATTEMPTS)
        except RedisUnavailable:
            return  # it is looked at again soon, and the deliveries wait
        except RedisError:
            log.exception("callbacks cannot be taken")
            return
        for request_id in ids:
            task = spawn(self._deliver(request_id), name=f"callback {request_id}")
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._wake.set()

    async def _deliver(self, request_id: str) -> None:
        try:
            delivery = await self._deliveries.read(request_id)
            if delivery is None:
                await self._deliveries.done(request_id)
                return
            failure = await self._attempt(delivery)
            attempts = delivery.attempts + 1
            if failure is None:
                await self._deliveries.done(request_id)
                metrics.CALLBACKS.labels("delivered").inc()
                log.info("callback delivered", request_id=request_id, attempts=attempts)
            elif attempts > self._retries:
                await self._deliveries.done(request_id)
                metrics.CALLBACKS.labels("given up").inc()
                log.error("callback given up", request_id=request_id, attempts=attempts, reason=failure)
            else:
                await self._deliveries.again(delivery, attempts, self._retry_seconds)
                metrics.CALLBACKS.labels("failed").inc()
                log.warning("callback failed", request_id=request_id, attempts=attempts, reason=failure)
        except RedisUnavailable as error:
            # The delivery becomes due again by itself; the customer may get it twice.
            log.warning("callback not settled", request_id=request_id, reason=str(error))

    async def _attempt(self, delivery: Delivery) -> str | None:
        """Send it once; None, or why it failed."""
        body = delivery.body.encode()
        headers = {
            "Content-Type": delivery.content_type,
            REQUEST_ID_HEADER: delivery.request_id,
            SIGNATURE_HEADER: signature(delivery.secret, body, int(time.time())),
        }
        try:
            async with self._client.open(
                delivery.method, delivery.url, seconds=self._attempt_seconds, headers=headers, body=body
            ) as answer:
                return None if 200 <= answer.status < 300 else f"answered {answer.status}"
        except RefusedUrl as refused:
            return f"refused: {refused.message}"
        except TimeoutError:
            return f"no answer within {self._attempt_seconds:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}"
        except Exception as error:
            # Counted like any failure, or this delivery would be tried for ever.
            log.exception("callback cannot be sent", request_id=delivery.request_id)
            return f"{type(error).__name__}"
