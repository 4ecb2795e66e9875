"""A proxy in front of the SQS emulator that does to messages what a network and SQS itself may do to them.

Calls fail before or after they took effect, entries of a batch fail singly, messages are duplicated, delayed (and so
reordered) and sent again long after. The emulator writes its messages down only when it gets SIGTERM, so it is cut
off instead of killed.
"""

import asyncio
import json
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiohttp import web

from aldea.usage.envelope import decode
from aldea.usage.reading import UsageReading
from onebox import stores

# Shares of the calls that meet each fault.
FAILED_BEFORE: Final = 0.04
FAILED_AFTER: Final = 0.04
PARTLY_FAILED: Final = 0.2
SENT_TWICE: Final = 0.15
SENT_AGAIN_LATER: Final = 0.15
ENTRY_DELAYED: Final = 0.2
# Bodies remembered to be sent again later.
MEMORY: Final = 200
# A long poll lasts 20 s.
CALL_SECONDS: Final = 40.0


class Wire:
    """The proxy. Faults happen while `hostile`; `cut` severs everything for a while."""

    def __init__(self, seed: int, longest_delay: float, saw: Callable[[UsageReading], None]) -> None:
        self._rng = random.Random(f"wire-{seed}")
        self._longest_delay = max(1, round(longest_delay))
        self._saw = saw
        self._old: deque[str] = deque(maxlen=MEMORY)
        self._transports: set[asyncio.Transport] = set()
        self._severed = False
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self.emulator = ""
        self.url = ""
        self.hostile = False
        self.counts: Counter[str] = Counter()

    async def start(self, emulator: str, port: int) -> None:
        """Listen on a loopback port and forward to the emulator's URL."""
        self.emulator, self.url = emulator, f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS))
        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def stop(self) -> None:
        """Close everything."""
        self.sever()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def depth(self, queue: str) -> int:
        """How many messages a queue of the emulator holds: visible, in flight and delayed."""
        assert self._session is not None
        names = ["", "NotVisible", "Delayed"]
        call = {
            "QueueUrl": f"{self.emulator}/{stores.SQS_ACCOUNT}/{queue}",
            "AttributeNames": [f"ApproximateNumberOfMessages{name}" for name in names],
        }
        region, key = stores.AWS_ENV["AWS_DEFAULT_REGION"], stores.AWS_ENV["AWS_ACCESS_KEY_ID"]
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.GetQueueAttributes",
            # The emulator checks no signature.
            "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/sqs/aws4_request, Signature=0",
        }
        async with self._session.post(self.emulator, data=json.dumps(call), headers=headers) as response:
            found = json.loads(await response.read())["Attributes"]
            return sum(int(value) for value in found.values())

    def sever(self) -> None:
        """Cut all connections, and every new one, until `restore`."""
        self._severed = True
        for transport in list(self._transports):
            transport.abort()

    def restore(self) -> None:
        """Let connections through again."""
        self._severed = False

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        if self._severed:
            self.counts["calls cut"] += 1
            transport.abort()
            return web.Response()
        self._transports.add(transport)
        try:
            return await self._serve(request, transport)
        except (aiohttp.ClientError, TimeoutError):
            transport.abort()
            return web.Response()
        finally:
            self._transports.discard(transport)

    async def _serve(self, request: web.Request, transport: asyncio.Transport) -> web.StreamResponse:
        action = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = (await request.read()).decode().replace(self.url, self.emulator)
        self.counts[f"{action} calls"] += 1
        if not self.hostile:
            return await self._forward(request, action, body)
        if self._rng.random() < FAILED_BEFORE:
            self.counts["calls failed before they took effect"] += 1
            return web.json_response({"__type": "InternalError", "message": "staged"}, status=500)
        lost = self._rng.random() < FAILED_AFTER
        if action == "SendMessageBatch":
            response = await self._send(request, body)
        else:
            response = await self._forward(request, action, body)
        if lost:
            self.counts["responses lost after the call took effect"] += 1
            transport.abort()
        return response

    async def _send(self, request: web.Request, body: str) -> web.Response:
        call = json.loads(body)
        entries: list[dict[str, Any]] = call["Entries"]
        refused: list[dict[str, Any]] = []
        if self._rng.random() < PARTLY_FAILED:
            refused = [entry for entry in entries if self._rng.random() < 0.5]
            self.counts["messages refused singly"] += len(refused)
        accepted = [entry for entry in entries if entry not in refused]
        for entry in accepted:
            self._old.append(entry["MessageBody"])
            if self._rng.random() < ENTRY_DELAYED:
                entry["DelaySeconds"] = self._rng.randint(1, self._longest_delay)
                self.counts["messages delayed"] += 1
        response: dict[str, Any] = {"Successful": [], "Failed": []}
        if accepted:
            call["Entries"] = accepted
            forwarded = await self._forward(request, "SendMessageBatch", json.dumps(call))
            if forwarded.status != 200:
                return forwarded
            assert isinstance(forwarded.body, bytes)
            response |= json.loads(forwarded.body)
            if self._rng.random() < SENT_TWICE:
                self.counts["messages sent twice"] += len(accepted)
                await self._forward(request, "SendMessageBatch", json.dumps(call))
            if self._rng.random() < SENT_AGAIN_LATER:
                self.counts["old messages sent again"] += 1
                again = {"Id": "old", "MessageBody": self._rng.choice(self._old), "DelaySeconds": self._longest_delay}
                await self._forward(request, "SendMessageBatch", json.dumps({**call, "Entries": [again]}))
        staged = {"Code": "ServiceUnavailable", "Message": "staged", "SenderFault": False}
        response["Failed"] = [*(response.get("Failed") or []), *({"Id": one["Id"], **staged} for one in refused)]
        return web.json_response(response)

    async def _forward(self, request: web.Request, action: str, body: str) -> web.Response:
        assert self._session is not None
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "content-length", "transfer-encoding", "accept-encoding"}
        }
        url = self.emulator + request.path_qs
        async with self._session.request(request.method, url, data=body.encode(), headers=headers) as response:
            content = await response.read()
            if action == "SendMessageBatch" and response.status == 200:
                self._note(body, content)
            return web.Response(body=content, status=response.status, content_type=response.content_type)

    def _note(self, body: str, content: bytes) -> None:
        """What SQS accepted must be in a row in the end."""
        accepted = {entry["Id"] for entry in json.loads(content).get("Successful", ())}
        for entry in json.loads(body)["Entries"]:
            if entry["Id"] in accepted:
                good, _ = decode(entry["MessageBody"])
                for item in good:
                    self._saw(item.reading)
