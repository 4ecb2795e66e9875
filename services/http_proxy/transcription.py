"""One request from its head to its answer: admitted, sent to an STT server, relayed or kept for its callback."""

import asyncio
from typing import Final

import structlog
from aiohttp import HttpVersion11, web

from aldea import errors
from aldea.admission import Grant, Verdict
from aldea.credentials import from_request
from aldea.headers import REQUEST_ID_HEADER, request_id
from aldea.lookups import on_behalf_of
from aldea.redis.errors import RedisUnavailable
from aldea.tasks import Deadline
from aldea.upstream import Upstream, server_path
from aldea.usage.reading import Rank, UsageReading
from http_proxy import audio_url
from http_proxy.callbacks import delivery as callback
from http_proxy.callbacks.delivery import CallbackRequest
from http_proxy.callbacks.store import Delivery, Room
from http_proxy.compressed_duration import unpacked
from http_proxy.duration import DurationScanner
from http_proxy.failover import Exchange
from http_proxy.heads import parameters, request_head, without_callback
from http_proxy.metering import Bill
from http_proxy.resources import House
from http_proxy.response import AnswerStalled, Relay, coding_of, next_piece, scanner_for
from http_proxy.upload import Upload
from http_proxy.upstream_connection import Answer, AnswerBroken

log = structlog.get_logger("http_proxy")

# What the server says about the proxy's own credential or the way to it must not look like the customer's fault.
_OUR_OWN_FAULT: Final = frozenset({401, 403, 407})


# Beyond the time between two tries of a delivery, after which some of those that wait are gone.
NO_ROOM_RETRY_SECONDS: Final = 30.0


class Transcription:
    """One request. It is what `Renewals` looks after while it runs."""

    def __init__(self, house: House, request: web.Request) -> None:
        self._house = house
        self._request = request
        self._id = request_id(request)
        self._query = request.rel_url.raw_query_string
        self._upload = Upload(request, house.limits)
        self._bill = Bill(request, self._upload, house.admission, lane=house.settings.lane)
        self._exchange: Exchange | None = None
        self._callback: CallbackRequest | None = None

    # What renewal sees.

    @property
    def grant(self) -> Grant:
        """What admission gave it."""
        if self._bill.grant is None:
            raise RuntimeError("the request was not admitted")
        return self._bill.grant

    def checkpoint(self) -> UsageReading:
        """Its usage so far."""
        return self._bill.reading(Rank.OPEN)

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
        bill = self._bill
        with self._house.in_flight:
            try:
                await self._admit()
                return await self._transcribe()
            except errors.ApiError as error:
                bill.status, bill.note = error.status, type(error).__name__
                raise
            except BaseException as error:
                bill.status = 503 if self._house.lifecycle.draining else 500
                if isinstance(error, asyncio.CancelledError) and self._house.in_flight.was_cut() and not self._begun:
                    raise _shutting_down() from None
                raise
            finally:
                if bill.grant is not None:
                    self._house.renewals.discard(self)
                if self._exchange is not None:
                    self._exchange.close()
                await bill.close()

    @property
    def _begun(self) -> bool:
        """Whether the client has seen something of an answer: no other can follow."""
        return self._request.writer.output_size > 0

    async def _admit(self) -> None:
        """Everything that can refuse a request by its head; what costs the least comes first."""
        house = self._house
        self._path = server_path(self._request.rel_url.raw_path)
        if house.lifecycle.draining:
            raise _shutting_down()
        credential = from_request(self._request)
        self._upload.check()
        self._callback = callback.requested(self._query)
        self._bill.callback = self._callback is not None
        self._bill.grant = await house.admission.admit(
            credential,
            request_id=self._id,
            service="prerecorded",
            path=self._path,
            tags=parameters(self._query, "tag"),
        )
        house.renewals.add(self)

    async def _transcribe(self) -> web.StreamResponse:
        seconds = self._house.settings.total_seconds
        try:
            with Deadline(seconds):
                if self._callback is not None:
                    await self._check_callback(self._callback)
                if audio_url.declared(self._request.raw_headers):
                    audio_url.check_plain(self._request.headers)
                    await self._check_url(await audio_url.read(self._upload))
                answer = await self._ask()
                scanner = scanner_for(answer)
                if self._callback is not None and scanner is not None:
                    return await self._keep(self._callback, answer, scanner)
                return await self._relay(answer, scanner)
        except TimeoutError:
            raise errors.GatewayTimeout(
                f"The request took longer than {seconds:g} s as a whole. Send less audio at a time."
            ) from None

    async def _check_url(self, url: str) -> None:
        with on_behalf_of(self.grant.project_id):
            await self._house.guard.check_resolved(url)

    async def _check_callback(self, asked: CallbackRequest) -> None:
        await self._check_url(asked.url)
        self._query = without_callback(self._query)
        try:
            room = await self._house.deliveries.room(self.grant.project_id)
        except RedisUnavailable:
            raise errors.ServiceUnavailable("Results cannot be kept for delivery now. Try again soon.") from None
        if room is not Room.FREE:
            raise _no_room(room)

    async def _ask(self) -> Answer:
        """An STT server's answer that is fit for the customer. Raises BadGateway, GatewayTimeout, upload errors."""
        house, settings = self._house, self._house.settings
        candidates = house.upstreams.candidates()
        if not candidates:
            raise errors.BadGateway(
                "No transcription server can be reached. Try again in a few seconds.",
                retry_after=house.upstreams.retry_after(),
            )
        exchange = self._exchange = Exchange(
            house.upstreams,
            house.pool,
            self._upload,
            self._head_for,
            # With a callback nobody has to wait on the line.
            first_byte_seconds=settings.total_seconds if self._callback else settings.first_byte_seconds,
            stall_seconds=settings.answer_stall_seconds,
        )
        try:
            answer = await exchange.ask(candidates)
        finally:
            self._bill.server = exchange.server.name if exchange.server is not None else None
        self._upload.forget()
        self._judge(exchange.server, answer.head.code)
        return answer

    def _head_for(self, server: Upstream) -> bytes:
        return request_head(
            target=f"{self._path}?{self._query}" if self._query else self._path,
            host=server.base_url.raw_authority,
            raw_headers=self._request.raw_headers,
            length=self._upload.length,
            request_id=self._id,
            client=self._bill.client,
            authorization=self._house.upstreams.authorization,
        )

    def _judge(self, server: Upstream | None, code: int) -> None:
        """Count the answer for or against its server. Raises BadGateway for one that is not for the customer."""
        if server is None:
            return
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
        request, bill = self._request, self._bill
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
            bill.status, bill.bytes_out = relay.status, relay.bytes_out
            bill.meter(scanner)
            self._house.renewals.discard(self)
            await bill.settle()

        try:
            return await relay.run(settle)
        except (AnswerBroken, AnswerStalled) as error:
            bill.status, bill.bytes_out, bill.note = 502, relay.bytes_out, str(error)
            if self._exchange is not None and self._exchange.server is not None:
                self._house.upstreams.failed(self._exchange.server, str(error))
            return relay.cut()
        except BaseException:
            relay.cut()
            raise

    async def _keep(self, asked: CallbackRequest, answer: Answer, scanner: DurationScanner) -> web.StreamResponse:
        """Keep the result for its delivery; only then the client is told that its request was accepted."""
        bill = self._bill
        result = await self._collect(answer, scanner)
        bill.status, bill.bytes_out = 200, len(result)
        bill.meter(scanner)
        delivery = Delivery(
            request_id=self._id,
            url=asked.url,
            method=asked.method,
            body=callback.payload(result.decode(), asked.metadata),
            content_type=answer.head.headers.get("Content-Type", "application/json"),
            secret=self.grant.credential_sha256,
            reading=bill.reading(Rank.FINAL).to_json(),
        )
        try:
            kept = await self._house.deliveries.put(delivery)
        except RedisUnavailable:
            kept = None
        except BaseException:
            bill.waive()
            raise
        if kept is not Room.FREE:
            # It may be kept all the same, an answer of Redis being lost: then it is delivered, and costs nothing.
            bill.waive()
            if kept is not None:
                raise _no_room(kept)
            raise errors.ServiceUnavailable("The result could not be kept for delivery. Send the request again.")
        self._house.renewals.discard(self)
        await bill.settle()
        self._house.couriers.wake()
        return web.json_response({"request_id": self._id}, headers={REQUEST_ID_HEADER: self._id})

    async def _collect(self, answer: Answer, scanner: DurationScanner) -> bytes:
        """The whole result, which is UTF-8. Raises PayloadTooLarge, BadGateway."""
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
            result = b"".join(pieces)
            if coding_of(answer):
                result = unpacked(result, most)
            result.decode()
        except (AnswerBroken, AnswerStalled, ValueError) as error:
            raise errors.BadGateway(f"The transcription server's answer was not usable ({error}).") from None
        return result


def _shutting_down() -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable("This server is shutting down. Send the request again.", retry_after=1)


def _no_room(room: Room) -> errors.ApiError:
    if room is Room.SHARE:
        return errors.TooManyRequests(
            "As many results of the project wait for delivery as may. See to it that the callback's receiver answers,"
            " then send the request again.",
            retry_after=NO_ROOM_RETRY_SECONDS,
        )
    return errors.ServiceUnavailable(
        "Too many results wait for delivery. Try again later.", retry_after=NO_ROOM_RETRY_SECONDS
    )
