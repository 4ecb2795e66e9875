"""One request's metering: what is measured while it runs, its readings, and its line in the log."""

import asyncio
import time

import structlog
from aiohttp import web

from aldea.admission import Admission, Grant
from aldea.headers import request_id
from aldea.log import FrequentEvent
from aldea.service.client_address import client_address
from aldea.tasks import spawn
from aldea.usage.reading import Rank, UsageReading
from http_proxy import metrics
from http_proxy.duration import DurationScanner
from http_proxy.upload import Upload

log = structlog.get_logger("http_proxy")
# The path, the address (a header may claim it) and the note can hold anything; the rest cannot.
_ended = FrequentEvent(
    "http_proxy",
    "request",
    own=(
        "request_id", "status", "project_id", "key_id", "lane", "duration_ms", "bytes_in", "bytes_out", "audio_ms",
        "callback",
    ),
)  # fmt: skip


class Metering:
    """Meters what one request costs. `close` ends it, whatever happened."""

    def __init__(self, request: web.BaseRequest, upload: Upload, admission: Admission, *, lane: str) -> None:
        self._request_id = request_id(request)
        self._path = request.rel_url.raw_path
        self.client = client_address(request)
        self._upload = upload
        self._admission = admission
        self._lane = lane
        self._began = time.monotonic()
        self._seq = 0
        self._audio_ms = 0
        self._channels = 1
        self.grant: Grant | None = None
        self.settled = False
        # What the client got, and what is worth a word in the log.
        self.status = 0
        self.bytes_out = 0
        self.server: str | None = None
        self.callback = False
        self.note = ""

    def meter(self, scanner: DurationScanner | None) -> None:
        """Take over the audio that the server reported; None: its response was no success."""
        if scanner is None:
            return
        if scanner.duration is None:
            metrics.UNMETERED.inc()
            log.warning("upstream response without duration", request_id=self._request_id, server=self.server)
            return
        self._channels = scanner.channels or 1
        self._audio_ms = round(scanner.duration * 1000) * self._channels

    def waive(self) -> None:
        """The client did not get what was transcribed: nothing is billed for it."""
        self._audio_ms = 0

    def reading(self, rank: Rank) -> UsageReading:
        """The usage so far; each is greater than the one before. Only after admission."""
        if self.grant is None:
            raise RuntimeError("the request was not admitted")
        self._seq += 1
        return self.grant.reading(
            rank,
            self._seq,
            audio_ms=self._audio_ms,
            audio_source="stt" if self._audio_ms else "pcm",
            channels=self._channels,
            connection_ms=int((time.monotonic() - self._began) * 1000),
            bytes_in=self._upload.received,
            bytes_out=self.bytes_out,
            status=self.status,
        )

    async def settle(self) -> None:
        """Release the lease and write the final reading, once. Cancelled, it is still written (`Outbox.keep`)."""
        if self.grant is not None and not self.settled:
            self.settled = True
            await self._admission.finish(self.grant, self.reading(Rank.FINAL))

    async def close(self) -> None:
        """The request has ended: settle what is not settled, also when the calling task is cancelled; count and log."""
        try:
            if self.grant is not None and not self.settled:
                await asyncio.shield(spawn(self.settle(), name=f"settle {self.grant.request_id}"))
        finally:
            self._report()

    def _report(self) -> None:
        seconds = time.monotonic() - self._began
        metrics.TOTALS.count(
            self.status,
            seconds=seconds,
            bytes_in=self._upload.received,
            bytes_out=self.bytes_out,
            audio_ms=self._audio_ms,
            exemplar=None if self.grant is None or self.grant.trace is None else self.grant.trace.exemplar,
        )
        grant = self.grant
        note = {"note": self.note} if self.note else {}
        _ended.info(
            request_id=self._request_id,
            path=self._path,
            status=self.status,
            project_id=grant.project_id if grant is not None else None,
            key_id=grant.key_id if grant is not None else None,
            lane=self._lane,
            server=self.server,
            client=self.client,
            duration_ms=round(seconds * 1000),
            bytes_in=self._upload.received,
            bytes_out=self.bytes_out,
            audio_ms=self._audio_ms,
            callback=self.callback,
            **note,
        )
