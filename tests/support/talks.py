"""Customers who say one number after the other, and check that no word is lost, said twice, or at a wrong time."""

import asyncio
import json
from typing import Any

import redis.asyncio as redis
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from aldea.tasks import spawn
from onebox.process import Process
from tests.fakes.words import RATE, WORD_MS, WORD_SAMPLES, audio_of
from tests.support.faults import finals
from tests.support.proxies import Customer, Service, eventually

WORDS_A_FRAME = 2
FRAME_SECONDS = 0.1
PATIENCE = 90.0


class Talk:
    """A customer who says one number after the other."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.request_id = socket._response.headers["dg-request-id"]
        self.messages: list[dict[str, Any]] = []
        self.sent = self.heard = 0
        self.code: int | None = None
        self._goes_on = True
        self._tasks = [spawn(self._speak(), name="speak"), spawn(self._hear(), name="hear")]

    async def _speak(self) -> None:
        while self._goes_on:
            await self.socket.send_bytes(audio_of(self.sent + 1, self.sent + WORDS_A_FRAME))
            self.sent += WORDS_A_FRAME
            await asyncio.sleep(FRAME_SECONDS)
        await self.socket.send_str('{"type":"CloseStream"}')

    async def _hear(self) -> None:
        async for message in self.socket:
            assert message.type is WSMsgType.TEXT
            self.messages.append(found := json.loads(message.data))
            if found["type"] == "Results" and (words := found["channel"]["alternatives"][0]["words"]):
                self.heard = int(words[-1]["word"])
        self.code = self.socket.close_code

    async def finish(self) -> None:
        self._goes_on = False
        await asyncio.wait_for(asyncio.gather(*self._tasks), PATIENCE)

    def check(self) -> None:
        """Every word once and in order, at its time to a sample, and nothing seen of any server's end."""
        results = [one for one in self.messages if one["type"] == "Results" and one["is_final"]]
        words = [word for one in results for word in one["channel"]["alternatives"][0]["words"]]
        assert [int(word["word"]) for word in words] == list(range(1, self.sent + 1))
        assert [round(word["start"] * RATE, 4) for word in words] == [n * WORD_SAMPLES for n in range(self.sent)]
        metadata = [one["duration"] for one in self.messages if one["type"] == "Metadata"]
        assert metadata == [0.0, self.sent * WORD_MS / 1000]
        assert self.code == 1000


class Talks:
    """All of them."""

    def __init__(self, talks: list[Talk]) -> None:
        self.all = talks

    async def all_hear_more(self) -> None:
        """Wait until each has heard words that it had not sent yet."""
        sent = [talk.sent for talk in self.all]

        def heard() -> bool:
            assert all(talk.code is None for talk in self.all), [talk.code for talk in self.all]
            return all(talk.heard > before for talk, before in zip(self.all, sent, strict=True))

        await eventually(heard, PATIENCE)

    async def are_exact(self, store: redis.Redis, failovers: set[int]) -> None:
        for talk in self.all:
            await talk.finish()
        for talk in self.all:
            talk.check()
        bills = await finals(store, [talk.request_id for talk in self.all])
        assert {bill.failovers for bill in bills.values()} <= failovers
        assert {talk.request_id: talk.sent * WORD_MS for talk in self.all} == {
            request_id: bill.audio_ms for request_id, bill in bills.items()
        }


async def talks(http: ClientSession, proxy: Service, customer: Customer, streams: int) -> Talks:
    url = f"{proxy.url}/v1/listen?encoding=linear16&sample_rate={RATE}"
    opening: list[Any] = [http.ws_connect(url, headers=customer.headers) for _ in range(streams)]
    found = Talks([Talk(socket) for socket in await asyncio.gather(*opening)])
    await found.all_hear_more()
    return found


async def busy(http: ClientSession, engines: list[Process]) -> Process:
    """The one that has streams."""
    for engine in engines:
        async with http.get(f"{engine.url}/stats") as response:  # type: ignore[attr-defined]
            if (await response.json())["used"]:
                return engine
    raise AssertionError("no engine has a stream")
