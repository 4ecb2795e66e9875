"""One request from its head to its last reading: admitted, sent to an STT server, answered, metered."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from aiohttp import HttpVersion11, web
from prometheus_client import Counter, Gauge, Histogram

from aldea import errors
from aldea.address_guard import AddressGuard
from aldea.admission import Admission, Grant, Renewals, Verdict
from aldea.credentials import from_request
from aldea.headers import REQUEST_ID_HEADER, client_address, request_id
from aldea.redis_link import RedisUnavailable
from aldea.service import Lifecycle
from aldea.tasks import spawn
from aldea.upstream import Upstream, Upstreams, server_path
from aldea.usage import Rank, UsageReading
from http_proxy import callback
from http_proxy.callback import CallbackRequest, Couriers
from http_proxy.connection import Answer, AnswerBroken, Pool
from http_proxy.deliveries import Deliveries, Delivery
from http_proxy.exchange import Exchange
from http_proxy.relay import AnswerStalled, Relay, next_piece, scanner_for
from http_proxy.rewrite import parameters, request_head, without_callback
from http_proxy.scanner import DurationScanner
from http_proxy.settings import HttpProxySettings
from http_proxy.upload import Upload, UploadLimits

log = structlog.get_logger("http_proxy")

# A request that names a URL instead of carrying audio is a small JSON object.
MAX_JSON: Final = 1 << 16
# What the server says about the proxy's own credential or the way to it must not look like the customer's fault.
_OUR_OWN_FAULT: Final = frozenset({401, 403, 407})

REQUESTS: Final = Counter("aldea_http_requests_total", "Requests by the status that the client got", ["status"])
IN_FLIGHT: Final = Gauge("aldea_http_requests_in_flight", "Requests that are being worked on")
BYTES_IN: Final = Counter("aldea_http_bytes_in_total", "Bytes of uploads")
BYTES_OUT: Final = Counter("aldea_http_bytes_out_total", "Bytes of answers' bodies")
AUDIO_SECONDS: Final = Counter("aldea_http_audio_seconds_total", "Billed audio")
UNMETERED: Final = Counter("aldea_http_unmetered_total", "Successful answers that reported no duration")
SECONDS: Final = Histogram(
    "aldea_http_request_seconds",
    "From the request's head to the answer's end",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all requests of a process share."""

    settings: HttpProxySettings
    lifecycle: Lifecycle
    upstreams: Upstreams
    pool: Pool
    admission: Admission
    renewals: Renewals
    guard: AddressGuard
    deliveries: Deliveries
    couriers: Couriers
    limits: UploadLimits


class Transcription:
    """One request. It is what `Renewals` looks after while it runs."""

    def __init__(self, house: House, request: web.Request) -> None:
        self._house = house
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._id = request_id(request)
        self._query = request.rel_url.raw_query_string
        self._upload = Upload(request, house.limits)
        self._exchange: Exchange | None = None
        self._grant: Grant | None = None
        self._callback: CallbackRequest | None = None
        self._seq = 0
        self._settled = False
        self._status = 0
        self._bytes_out = 0
        self._audio_ms = 0
        self._channels = 1
        self._note = ""

    # What renewal sees.

    @property
    def grant(self) -> Grant:
        """What admission gave it."""
        if self._grant is None:
            raise RuntimeError("the request was not admitted")
        return self._grant

    def checkpoint(self) -> UsageReading:
        """Its usage so far."""
        return self._reading(Rank.OPEN)

    def on_refused(self, verdict: Verdict) -> None:
        """An upload that is still coming ends here; what the server has whole is answered and billed."""
        error: errors.ApiError = errors.InvalidAuth(verdict.close_reason)
        if verdict is Verdict.QUOTA:
            error = errors.PaymentRequired(verdict.close_reason)
        elif verdict is Verdict.SUSPENDED:
            error = errors.InsufficientPermissions(verdict.close_reason)
        self._upload.refuse(error)

    # Its life.

    async def run(self) -> web.StreamResponse:
        """Work on it. Raises ApiError; the answer's shape is the middleware's business."""
        IN_FLIGHT.inc()
        try:
            response = await self._admitted(await self._admit())
            self._status = self._status or response.status
        except errors.ApiError as error:
            self._status = error.status
            self._note = type(error).__name__
            raise
        except BaseException:
            self._status = 503 if self._house.lifecycle.draining else 500
            raise
        else:
            return response
        finally:
            IN_FLIGHT.dec()
            if self._grant is not None and not self._settled:
                # Also when this task was cancelled: a release and a bill are not left behind.
                await asyncio.shield(spawn(self._settle(), name=f"settle {self._id}"))
            if self._exchange is not None:
                self._exchange.close()
            self._tell()

    async def _admit(self) -> list[Upstream]:
        """Everything that can refuse a request before it costs anything. Returns the servers to ask."""
        house = self._house
        self._path = server_path(self._request.rel_url.raw_path)
        if house.lifecycle.draining:
            raise errors.ServiceUnavailable("This server is shutting down. Send the request again.", retry_after=1)
        credential = from_request(self._request)
        self._upload.check()
        self._callback = callback.requested(self._query)
        candidates = house.upstreams.candidates()
        if not candidates:
            raise errors.BadGateway(
                "No transcription server can be reached. Try again in a few seconds.",
                retry_after=house.upstreams.retry_after(),
            )
        if self._callback is not None and not await self._room_for_callback():
            raise errors.ServiceUnavailable("Too many results wait for delivery. Try again later.", retry_after=30)
        self._grant = await house.admission.admit(
            credential,
            request_id=self._id,
            service="prerecorded",
            path=self._path,
            tags=parameters(self._query, "tag"),
        )
        house.renewals.add(self)
        return candidates

    async def _room_for_callback(self) -> bool:
        try:
            return await self._house.deliveries.room()
        except RedisUnavailable:
            raise errors.ServiceUnavailable("Results cannot be kept for delivery now. Try again soon.") from None

    async def _admitted(self, candidates: Sequence[Upstream]) -> web.StreamResponse:
        settings = self._house.settings
        try:
            async with asyncio.timeout(settings.total_seconds):
                if self._callback is not None:
                    await self._house.guard.check_resolved(self._callback.url)
                    self._query = without_callback(self._query)
                if "json" in self._request.content_type:
                    await self._check_audio_url()
                self._exchange = Exchange(
                    self._house.upstreams,
                    self._house.pool,
                    self._upload,
                    self._head_for,
                    # With a callback nobody has to wait on the line.
                    first_byte_seconds=settings.total_seconds if self._callback else settings.first_byte_seconds,
                    stall_seconds=settings.answer_stall_seconds,
                )
                answer = await self._exchange.ask(candidates)
                self._upload.forget()
                self._judge_server(answer)
                scanner = scanner_for(answer)
                if self._callback is not None and scanner is not None:
                    return await self._keep_for_callback(self._callback, answer, scanner)
                return await self._relay(answer, scanner)
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The request took longer than {settings.total_seconds:g} s as a whole. Send less audio at a time."
            ) from None

    def _head_for(self, server: Upstream) -> bytes:
        target = f"{self._path}?{self._query}" if self._query else self._path
        return request_head(
            target=target,
            host=server.base_url.raw_authority,
            raw_headers=self._request.raw_headers,
            length=self._upload.length,
            request_id=self._id,
            client=client_address(self._request),
            authorization=self._house.upstreams.authorization,
        )

    async def _check_audio_url(self) -> None:
        """Read the whole of a small JSON body and judge the URL in it. It is kept, and sent as it came."""
        upload = self._upload
        while not upload.complete:
            await upload.read()
            if upload.received > MAX_JSON:
                raise errors.PayloadTooLarge(f"A JSON body is at most {MAX_JSON} bytes. Send audio with its own type.")
        try:
            body = json.loads(b"".join(upload.kept))
        except (ValueError, RecursionError):
            raise errors.BadRequest('The body is not JSON. Send {"url": "https://…"}, or audio as audio/*.') from None
        if not isinstance(body, dict) or not isinstance(body.get("url"), str):
            raise errors.BadRequest('The JSON body has no "url". Send {"url": "https://…"}.')
        await self._house.guard.check_resolved(body["url"])

    def _judge_server(self, answer: Answer) -> None:
        """Count the answer for or against its server. Raises BadGateway for one that is not for the customer."""
        server = self._exchange.server if self._exchange is not None else None
        if server is None:
            return
        code = answer.head.code
        if code >= 500:
            self._house.upstreams.failed(server, f"answered {code}")
        else:
            self._house.upstreams.succeeded(server)
        if code in _OUR_OWN_FAULT or 300 <= code < 400:
            log.error("server refused the proxy", server=server.name, status=code, request_id=self._id)
            raise errors.BadGateway(
                "The transcription server could not be used. The fault is on our side; it is logged."
            )

    async def _relay(self, answer: Answer, scanner: DurationScanner | None) -> web.StreamResponse:
        request = self._request
        relay = Relay(
            request,
            answer,
            scanner,
            request_id=self._id,
            keep_alive=request.keep_alive
            and request.version >= HttpVersion11
            and self._upload.complete
            and not self._house.lifecycle.draining,
            stall_seconds=self._house.settings.answer_stall_seconds,
        )

        async def settle() -> None:
            self._status, self._bytes_out = relay.status, relay.bytes_out
            self._meter(scanner)
            await self._settle()

        try:
            return await relay.run(settle)
        except (AnswerBroken, AnswerStalled) as error:
            self._note = str(error)
            server = self._exchange.server if self._exchange is not None else None
            if not self._settled and server is not None:
                self._status = 502
                self._house.upstreams.failed(server, str(error))
            return relay.cut()
        except (TimeoutError, asyncio.CancelledError):
            relay.cut()
            raise

    async def _keep_for_callback(
        self, asked: CallbackRequest, answer: Answer, scanner: DurationScanner
    ) -> web.StreamResponse:
        most = self._house.settings.callback_max_bytes
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await next_piece(answer, self._house.settings.answer_stall_seconds):
                scanner.feed(piece)
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    raise errors.PayloadTooLarge(
                        f"The result is larger than {most} bytes, the most that is kept for a callback."
                        " Send the audio in parts, or without callback."
                    )
            result = b"".join(pieces).decode()
        except (AnswerBroken, AnswerStalled, UnicodeDecodeError) as error:
            raise errors.BadGateway(f"The transcription server's answer was not usable ({error}).") from None
        self._status, self._bytes_out = 200, size
        self._meter(scanner)
        delivery = Delivery(
            request_id=self._id,
            url=asked.url,
            method=asked.method,
            body=callback.payload(result, asked.metadata),
            content_type=answer.head.headers.get("Content-Type", "application/json"),
            secret=self.grant.credential_sha256,
            reading=self._reading(Rank.FINAL).to_json(),
        )
        try:
            kept = await self._house.deliveries.put(delivery)
        except RedisUnavailable:
            kept = False
        if not kept:
            self._audio_ms = 0
            raise errors.ServiceUnavailable("The result could not be kept for delivery. Send the request again.")
        await self._settle()
        self._house.couriers.wake()
        return web.json_response({"request_id": self._id}, headers={REQUEST_ID_HEADER: self._id})

    # Its bill.

    def _meter(self, scanner: DurationScanner | None) -> None:
        if scanner is None:
            return
        if scanner.duration is None:
            UNMETERED.inc()
            log.warning("answer without a duration", request_id=self._id, path=self._path)
            return
        self._channels = scanner.channels or 1
        self._audio_ms = round(scanner.duration * 1000) * self._channels

    def _reading(self, rank: Rank) -> UsageReading:
        self._seq += 1
        return replace(
            self.grant.reading(rank, self._seq),
            audio_ms=self._audio_ms,
            audio_source="stt" if self._audio_ms else "pcm",
            channels=self._channels,
            connection_ms=self._elapsed_ms(),
            bytes_in=self._upload.received,
            bytes_out=self._bytes_out,
            status=self._status,
        )

    async def _settle(self) -> None:
        """Release the lease and write the final reading, once."""
        if self._settled:
            return
        self._settled = True
        self._house.renewals.discard(self)
        await self._house.admission.finish(self.grant, self._reading(Rank.FINAL))

    def _elapsed_ms(self) -> int:
        return int((self._loop.time() - self._began) * 1000)

    def _tell(self) -> None:
        """The metrics and the one log line of this request."""
        seconds = self._loop.time() - self._began
        REQUESTS.labels(str(self._status)).inc()
        SECONDS.observe(seconds)
        BYTES_IN.inc(self._upload.received)
        BYTES_OUT.inc(self._bytes_out)
        AUDIO_SECONDS.inc(self._audio_ms / 1000)
        server = self._exchange.server if self._exchange is not None else None
        event: dict[str, Any] = {
            "request_id": self._id,
            "path": self._request.rel_url.raw_path,
            "status": self._status,
            "project_id": self._grant.project_id if self._grant is not None else None,
            "key_id": self._grant.key_id if self._grant is not None else None,
            "lane": self._house.settings.lane,
            "server": server.name if server is not None else None,
            "client": client_address(self._request),
            "seconds": round(seconds, 4),
            "bytes_in": self._upload.received,
            "bytes_out": self._bytes_out,
            "audio_seconds": self._audio_ms / 1000,
            "callback": self._callback is not None,
        }
        if self._note:
            event["note"] = self._note
        log.info("request", **event)
