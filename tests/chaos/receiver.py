"""A customer's server: serves the audio that uploads by URL name, and takes results, not always at the first try."""

import asyncio
import json
import random
from collections import Counter
from typing import Final

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from aldea.headers import REQUEST_ID_HEADER
from http_proxy.callbacks.delivery import SIGNATURE_HEADER, signature
from tests.chaos.book import Book
from tests.chaos.engine import BYTES_PER_MS

# Shares of the deliveries that are refused, and of those whose response is lost: both are sent again.
REFUSED: Final = 0.1
RESPONSE_LOST: Final = 0.05
# A file takes this long at most: requests are under way when something happens to them.
SLOWEST_AUDIO_SECONDS: Final = 1.0


class Receiver:
    """Listens on a loopback port. What it took is in the book, checked: whose it is, its signature, its body."""

    def __init__(self, seed: int, book: Book) -> None:
        self._rng = random.Random(f"receiver-{seed}")
        self._book = book
        self._runner: web.AppRunner | None = None
        self.url = ""
        # The lower-case hex SHA-256 of the API key, which signs what is delivered.
        self.secret = ""
        self.counts: Counter[str] = Counter()
        # The secret of the webhook, and which threshold each event is about, by its id.
        self.alert_secret = ""
        self.alerts: dict[str, int] = {}

    async def start(self, port: int) -> None:
        """Listen."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_get("/audio/{ms}", self._audio)
        for method in ("POST", "PUT"):
            app.router.add_route(method, "/callback/{tag}", self._take)
        app.router.add_post("/alerts", self._take_alert)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Close everything."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _audio(self, request: web.Request) -> web.Response:
        self.counts["audio files fetched"] += 1
        await asyncio.sleep(self._rng.uniform(0, SLOWEST_AUDIO_SECONDS))
        return web.Response(body=bytes(int(request.match_info["ms"]) * BYTES_PER_MS), content_type="audio/raw")

    async def _take_alert(self, request: web.Request) -> web.Response:
        body = await request.text()
        if self._rng.random() < REFUSED:
            self.counts["alerts refused"] += 1
            return web.Response(status=503)
        try:
            event = Webhook(self.alert_secret).verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            self._book.spoiled.append(f"an alert cannot be verified: {error}")
            return web.Response()
        self.counts["alerts received"] += 1
        self.alerts[request.headers["webhook-id"]] = event["data"]["threshold_micros"]
        if self._rng.random() < RESPONSE_LOST and request.transport is not None:
            request.transport.close()
        return web.Response()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._rng.random() < REFUSED:
            self.counts["deliveries refused"] += 1
            return web.Response(status=503)
        tag = request.match_info["tag"]
        signed = request.headers.get(SIGNATURE_HEADER, "")
        moment = signed.partition(",")[0].removeprefix("t=")
        if not moment.isdecimal() or signature(self.secret, body, int(moment)) != signed:
            self._book.spoiled.append(f"{tag}: delivered with the signature {signed!r:.100}")
        try:
            duration_ms = round(json.loads(body)["metadata"]["duration"] * 1000)
        except (ValueError, KeyError, TypeError):
            self._book.spoiled.append(f"{tag}: delivered a body that is no result: {body[:100]!r}")
            return web.Response()
        self._book.delivered(tag, request.headers.get(REQUEST_ID_HEADER, ""), duration_ms)
        if self._rng.random() < RESPONSE_LOST and request.transport is not None:
            self.counts["deliveries whose response was lost"] += 1
            request.transport.close()
        return web.Response()
