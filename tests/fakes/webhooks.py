"""A customer's receiver of webhooks: takes events on a loopback port, verifies each, and responds as it is made to."""

import asyncio
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook


class Receiver:
    """`received`: what was sent, verified with `secrets`; `statuses`: of the next responses (then 200)."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.signatures: list[str] = []
        self.secrets: list[str] = []
        self.statuses: list[int] = []
        self.held = asyncio.Event()
        self.held.set()
        self.began = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/hook"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.held.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.began += 1
        body = await request.text()
        await self.held.wait()
        found: dict[str, Any] = {}
        for secret in self.secrets:
            found = Webhook(secret).verify(body, dict(request.headers))
        self.received.append(found)
        self.ids.append(request.headers["webhook-id"])
        self.signatures.append(request.headers["webhook-signature"])
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, text=f"seen \0 {len(self.received)}")
