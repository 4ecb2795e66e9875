"""Fleet: many live streams through one proxy, which talk in small frames until something happens to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, ClientWebSocketResponse, WSMsgType

from aldea.tasks import cancel, spawn
from tests.support.proxies import Customer, Service, eventually

# A hundredth of a second of 16 kHz, 16 bit audio.
FRAME = b"\1\0" * 160
PAUSE_SECONDS = 0.05


class Fleet:
    """The streams, what each has heard, and how each has ended: its close code (1006: cut) and reason."""

    def __init__(self, sockets: list[ClientWebSocketResponse]) -> None:
        self.sockets = sockets
        self.request_ids = [socket._response.headers["dg-request-id"] for socket in sockets]
        self.heard = [0] * len(sockets)
        self.endings: dict[int, tuple[int, str]] = {}
        self._tasks = [spawn(self._talk(), name="talk")]
        self._tasks += [spawn(self._hear(index), name=f"hear {index}") for index in range(len(sockets))]

    async def _talk(self) -> None:
        while True:
            for index, socket in enumerate(self.sockets):
                if index not in self.endings and not socket.closed:
                    try:
                        await socket.send_bytes(FRAME)
                    except ClientConnectionError:
                        continue  # the listener notes its end
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hear(self, index: int) -> None:
        socket = self.sockets[index]
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                self.heard[index] += 1
            else:
                said = message.type is WSMsgType.CLOSE
                self.endings[index] = (message.data, message.extra or "") if said else (1006, "")
                return

    @property
    def codes(self) -> Counter[int]:
        """How many streams ended with which code."""
        return Counter(code for code, _ in self.endings.values())

    async def all_hear_more(self) -> None:
        """Wait until every stream has got another result."""
        before = list(self.heard)
        await eventually(lambda: all(now > then + 1 for now, then in zip(self.heard, before, strict=True)))

    async def all_ended(self) -> None:
        await eventually(lambda: len(self.endings) == len(self.sockets))

    async def finish(self) -> None:
        """End every stream as a customer does."""
        for socket in self.sockets:
            await socket.send_str('{"type":"CloseStream"}')
        await self.all_ended()

    async def stop(self) -> None:
        await cancel(*self._tasks)
        for socket in self.sockets:
            if (connection := socket._response.connection) is not None and connection.transport is not None:
                connection.transport.abort()
            # A cut connection is not reported to the library, which would complain when it is collected.
            socket._response.close()


@asynccontextmanager
async def fleet(
    http: ClientSession, proxy: Service, customer: Customer, streams: int = 50, query: str = "encoding=linear16"
) -> AsyncIterator[Fleet]:
    """So many streams, each with at least one result."""
    url = f"{proxy.url}/v1/listen?{query}"
    opening: list[Any] = [http.ws_connect(url, headers=customer.headers) for _ in range(streams)]
    found = Fleet(list(await asyncio.gather(*opening)))
    try:
        await found.all_hear_more()
        yield found
    finally:
        await found.stop()
