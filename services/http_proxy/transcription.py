"""One request from its head to its response: admitted, sent to an STT server, relayed or kept for its callback."""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.hdrs import CONTENT_ENCODING

from aldea import errors
from aldea.admission import Grant, Verdict, rate_limits
from aldea.credentials import from_request
from aldea.headers import REQUEST_ID_HEADER, request_id
from aldea.lookups import on_behalf_of
from aldea.redis.errors import RedisUnavailable
from aldea.tasks import Deadline
from aldea.tracing.incoming import begin
from aldea.tracing.spans import Kind, Span, traced
from aldea.upstream import Upstream, server_attributes, server_path
from aldea.usage.reading import Rank, UsageReading
from http_proxy import audio_url, estimate
from http_proxy.callbacks import delivery as callback
from http_proxy.callbacks.delivery import CallbackRequest
from http_proxy.callbacks.store import Delivery, Room
from http_proxy.compressed_duration import unpacked
from http_proxy.duration import DurationScanner
from http_proxy.failover import BUSY, Failover
from http_proxy.heads import RawHeaders, pairs, parameters, request_head, without_callback
from http_proxy.metering import Metering
from http_proxy.own_id import OwnId
from http_proxy.raw.request import PlainRequest
from http_proxy.refusal import is_refusal, passed_on, read_refusal
from http_proxy.resources import Resources
from http_proxy.response import Relay, coding_of, next_piece, scanner_for
from http_proxy.upload import Upload
from http_proxy.upstream_connection import UpstreamError, UpstreamResponse

log = structlog.get_logger("http_proxy")

# What the server says about the proxy's own credential or the way to it must not look like the customer's fault.
_OUR_OWN_FAULT: Final = frozenset({401, 403, 407})
_SENT: Final = {"http.request.method": "POST"}
_ROUTES: Final = frozenset({"/v1/listen", "/listen/v1", "/transcribe", "/v1/audio/transcriptions"})


# Beyond the time between two tries of a delivery, after which some of those that wait are delivered.
NO_ROOM_RETRY_SECONDS: Final = 30.0


class Transcription:
    """One request. It is what `Renewals` looks after while it runs."""

    def __init__(self, resources: Resources, request: web.Request, upload: Upload | None = None) -> None:
        """`upload`: the request's body, if it is read in another way than as it comes."""
        self._resources = resources
        self._request = request
        self._id = request_id(request)
        self._query = request.rel_url.raw_query_string
        self._route = _route(request)
        self._trace = begin(request, self._route, continues=resources.settings.continues_trace(request))
        self._sending: Span | None = None  # while a server's response is awaited
        self._plain = isinstance(request, PlainRequest)  # whose body is no JSON
        self._upload = Upload(request, resources.limits) if upload is None else upload
        self._metering = Metering(request, self._upload, resources.admission, lane=resources.settings.lane)
        self._failover: Failover | None = None
        self._callback: CallbackRequest | None = None

    # What renewal sees.

    @property
    def grant(self) -> Grant:
        """What admission gave it."""
        if self._metering.grant is None:
            raise RuntimeError("the request was not admitted")
        return self._metering.grant

    def checkpoint(self) -> UsageReading:
        """Its usage so far."""
        return self._metering.reading(Rank.OPEN)

    def on_refused(self, verdict: Verdict) -> None:
        """An upload that is still coming ends here; what the server has whole gets its response and is billed."""
        error: errors.ApiError = errors.InvalidAuth(verdict.close_reason)
        if verdict.used_up:
            error = errors.PaymentRequired(verdict.close_reason)
        elif verdict is Verdict.SUSPENDED:
            error = errors.InsufficientPermissions(verdict.close_reason)
        self._upload.refuse(error)

    # Its life.

    async def run(self) -> web.StreamResponse:
        """Work on it. Raises ApiError; the middleware gives the response its shape."""
        metering = self._metering
        with self._resources.in_flight:
            try:
                await self._admit()
                return await self._transcribe()
            except errors.ApiError as error:
                metering.status, metering.note = error.status, type(error).__name__
                raise
            except BaseException as error:
                metering.status = 503 if self._resources.lifecycle.draining else 500
                if (
                    isinstance(error, asyncio.CancelledError)
                    and self._resources.in_flight.was_cut()
                    and not self._begun
                ):
                    raise shutting_down() from None
                raise
            finally:
                if metering.grant is not None:
                    self._resources.renewals.discard(self)
                if self._failover is not None:
                    self._failover.close()
                await metering.close()
                if self._trace is not None:
                    self._trace.end(metering.status, {"aldea.lane": self._resources.settings.lane})

    @property
    def _begun(self) -> bool:
        """Whether the client has seen the beginning of a response: no other can follow."""
        return self._request.writer.output_size > 0

    async def _admit(self) -> None:
        """Everything that can refuse a request by its head; what costs the least comes first."""
        resources = self._resources
        self._path = server_path(self._request.rel_url.raw_path)
        if resources.lifecycle.draining:
            raise shutting_down()
        credential = from_request(self._request)
        self._upload.check()
        self._callback = callback.requested(self._query)
        self._metering.callback = self._callback is not None
        self._metering.grant = await resources.admission.admit(
            credential,
            request_id=self._id,
            service="prerecorded",
            path=self._path,
            tags=parameters(self._query, "tag"),
            query=pairs(self._query),
            trace=self._trace,
        )
        self._admitted()

    def _admitted(self) -> None:
        """From here on it is renewed, and every response says what is left of its limits."""
        rate_limits.note(self._request, self.grant)
        self._resources.renewals.add(self)

    async def _transcribe(self) -> web.StreamResponse:
        seconds = self._resources.settings.total_seconds
        try:
            with Deadline(seconds):
                if self._callback is not None:
                    await self._check_callback(self._callback)
                if not self._plain and audio_url.declared(self._request.raw_headers):
                    audio_url.check_plain(self._request.headers)
                    await self._check_url(await audio_url.read(self._upload))
                elif self._resources.settings.reserve_audio:
                    await self._reserve()
                response = await self._upstream_response()
                if is_refusal(response):
                    return await self._pass_refusal_on(response)
                scanner = scanner_for(response)
                if self._callback is not None and scanner is not None:
                    return await self._keep(self._callback, response, scanner)
                return await self._relay(response, scanner)
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The request took longer than {seconds:g} s as a whole. Send less audio at a time."
            ) from None

    async def _reserve(self) -> None:
        """Book the audio ahead, if its length can be estimated. Raises PaymentRequired, and what reading raises."""
        length = self._upload.length
        if length is None or CONTENT_ENCODING in self._request.headers:
            return
        query = pairs(self._query)
        if (audio_ms := estimate.of_raw_audio(length, query)) is None:
            audio_ms = estimate.of_wav(length, await self._upload.peek(estimate.HEAD_BYTES), query)
        await self._resources.admission.reserve(self.grant, audio_ms)

    async def _check_url(self, url: str) -> None:
        with on_behalf_of(self.grant.project_id):
            await self._resources.guard.check_resolved(url)

    async def _check_callback(self, wanted: CallbackRequest) -> None:
        await self._check_url(wanted.url)
        self._query = without_callback(self._query)
        try:
            room = await self._resources.deliveries.room(self.grant.project_id)
        except RedisUnavailable:
            raise errors.ServiceUnavailable("Results cannot be kept for delivery now. Try again soon.") from None
        if room is not Room.FREE:
            raise _no_room(room)

    async def _upstream_response(self) -> UpstreamResponse:
        """An STT server's response that is fit for the customer. Raises BadGateway, GatewayTimeout, upload errors."""
        resources, settings = self._resources, self._resources.settings
        failover = self._failover = Failover(
            resources.upstreams,
            resources.pool,
            self._upload,
            self._head_for,
            # With a callback the client does not wait for the result.
            first_byte_seconds=settings.total_seconds if self._callback else settings.first_byte_seconds,
            stall_seconds=settings.answer_stall_seconds,
        )
        try:
            with traced(self._trace, f"POST {self._route}", Kind.CLIENT, _SENT) as self._sending:
                response = await failover.request()
        finally:
            self._metering.server = failover.server.name if failover.server is not None else None
        self._upload.forget()
        self._judge(failover.server, response.head.code)
        return response

    def _head_for(self, server: Upstream) -> bytes:
        return request_head(
            target=f"{self._path}?{self._query}" if self._query else self._path,
            host=server.base_url.raw_authority,
            raw_headers=self._headers_for_server(),
            length=self._upload.length,
            request_id=self._id,
            client=self._metering.client,
            authorization=self._resources.upstreams.authorization,
            trace=self._passed_on(server),
        )

    def _passed_on(self, server: Upstream) -> Mapping[str, str]:
        if self._sending is not None:
            self._sending.note(server_attributes(server))
            return self._sending.context.headers()
        return {} if self._trace is None else self._trace.headers()

    def _headers_for_server(self) -> RawHeaders:
        return self._request.raw_headers

    def _judge(self, server: Upstream | None, code: int) -> None:
        """Count the response for or against its server. Raises BadGateway for one that is not for the customer."""
        if server is None:
            return
        if code in BUSY:
            pass  # it lives and has no place, which the failover has noted
        elif code >= 500:
            self._resources.upstreams.failed(server, f"responded {code}")
        else:
            self._resources.upstreams.succeeded(server)
        if code in _OUR_OWN_FAULT or 300 <= code < 400:
            log.error("stt server refused the proxy", server=server.name, status=code, request_id=self._id)
            raise errors.BadGateway("The STT server could not be used. The fault is on our side; it is logged.")

    async def _pass_refusal_on(self, response: UpstreamResponse) -> web.Response:
        """Raises BadGateway for one that breaks off."""
        metering = self._metering
        try:
            body = await read_refusal(response, self._resources.settings.answer_stall_seconds)
        except UpstreamError as error:
            raise errors.BadGateway(f"The STT server's response was not usable ({error}).") from None
        passed = passed_on(response, body, self._id)
        if not self._upload.complete:
            passed.force_close()
        metering.status, metering.bytes_out = passed.status, len(body)
        self._resources.renewals.discard(self)
        await metering.settle()
        return passed

    async def _relay(self, response: UpstreamResponse, scanner: DurationScanner | None) -> web.StreamResponse:
        request, metering = self._request, self._metering
        relay = Relay(
            request,
            response,
            scanner,
            request_id=self._id,
            keep_alive=request.keep_alive
            and request.version >= HttpVersion11
            and self._upload.complete
            and not self._resources.lifecycle.draining,
            stall_seconds=self._resources.settings.answer_stall_seconds,
        )

        async def settle() -> None:
            metering.status, metering.bytes_out = relay.status, relay.bytes_out
            metering.meter(scanner)
            self._resources.renewals.discard(self)
            await metering.settle()

        try:
            return await relay.run(settle)
        except UpstreamError as error:
            metering.status, metering.bytes_out, metering.note = 502, relay.bytes_out, str(error)
            if self._failover is not None and self._failover.server is not None:
                self._resources.upstreams.failed(self._failover.server, str(error))
            return relay.cut()
        except BaseException:
            relay.cut()
            raise

    async def _keep(
        self, wanted: CallbackRequest, response: UpstreamResponse, scanner: DurationScanner
    ) -> web.StreamResponse:
        """Keep the result for its delivery; only then is the client informed that its request was accepted."""
        metering = self._metering
        result = await self._collect(response, scanner)
        metering.status, metering.bytes_out = 200, len(result)
        metering.meter(scanner)
        delivery = Delivery(
            request_id=self._id,
            url=wanted.url,
            method=wanted.method,
            body=callback.payload(result.decode(), wanted.metadata),
            content_type=response.head.headers.get("Content-Type", "application/json"),
            secret=self.grant.credential_sha256,
            reading=metering.reading(Rank.FINAL).to_json(),
        )
        try:
            kept = await self._resources.deliveries.put(delivery)
        except RedisUnavailable:
            kept = None
        except BaseException:
            metering.waive()
            raise
        if kept is not Room.FREE:
            # Redis may have stored it although its reply was lost: then it is delivered, and costs nothing.
            metering.waive()
            if kept is not None:
                raise _no_room(kept)
            raise errors.ServiceUnavailable("The result could not be kept for delivery. Send the request again.")
        self._resources.renewals.discard(self)
        await metering.settle()
        self._resources.callback_worker.wake()
        return web.json_response({"request_id": self._id}, headers={REQUEST_ID_HEADER: self._id})

    async def _collect(self, response: UpstreamResponse, scanner: DurationScanner) -> bytes:
        """The whole result, which is UTF-8. Raises PayloadTooLarge, BadGateway."""
        most = self._resources.settings.callback_max_bytes
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await next_piece(response, self._resources.settings.answer_stall_seconds):
                scanner.feed(piece)
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    raise errors.PayloadTooLarge(
                        f"The result is larger than {most} bytes, the most that is kept for a callback."
                        " Send the audio in parts, or without callback."
                    )
            result = b"".join(pieces)
            if coding_of(response):
                result = unpacked(result, most)
            result = OwnId(self._id).feed(result, last=True)
            result.decode()
        except (UpstreamError, ValueError) as error:
            raise errors.BadGateway(f"The STT server's response was not usable ({error}).") from None
        return result


def _route(request: web.Request) -> str:
    """Its path without what a client chooses in it."""
    path = request.rel_url.raw_path
    return path if path in _ROUTES else "/transcribe/{rest}"


def shutting_down() -> errors.ServiceUnavailable:
    """The refusal of a process that drains."""
    return errors.ServiceUnavailable("This server is shutting down. Send the request again.", retry_after=1)


def _no_room(room: Room) -> errors.ApiError:
    if room is Room.SHARE:
        return errors.TooManyRequests(
            "As many results of the project wait for delivery as may. Make sure that the callback's receiver responds,"
            " then send the request again.",
            retry_after=NO_ROOM_RETRY_SECONDS,
        )
    return errors.ServiceUnavailable(
        "Too many results wait for delivery. Try again later.", retry_after=NO_ROOM_RETRY_SECONDS
    )
