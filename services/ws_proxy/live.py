"""The streams that are open in this process: their ticker, and their drain."""

import asyncio
from typing import Final

import structlog

from aldea.admission import Admission, Renewals
from aldea.service import Lifecycle
from aldea.tasks import spawn
from aldea.websocket.frames import CloseCode
from aldea.websocket.relay import Ending
from ws_proxy import metrics
from ws_proxy.session import Session
from ws_proxy.settings import Settings

log = structlog.get_logger("ws_proxy.live")

# How often deadlines are looked at; each of them is that much coarse.
TICK_SECONDS: Final = 1.0
# After so many streams in a row the event loop gets a turn: a thousand at once would hold their frames up.
TURN: Final = 64
RESTART_REASON: Final = "the service restarts, connect again"


class LiveStreams:
    """All running sessions of the process."""

    def __init__(self, settings: Settings, admission: Admission, renewals: Renewals) -> None:
        self._settings = settings
        self._admission = admission
        self._renewals = renewals
        self._sessions: set[Session] = set()
        self._finishing = 0  # streams that have ended and whose final reading is on its way
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: Session) -> None:
        """Follow a session whose relay has started until its final reading is written."""
        self._empty.clear()
        self._sessions.add(session)
        self._renewals.add(session)
        metrics.ACTIVE_STREAMS.set(len(self._sessions))
        # A running stream needs no task; its end gets one that nobody can cancel.
        session.relay.ended.add_done_callback(lambda ended: self._ended(session, ended.result()))

    def _ended(self, session: Session, ending: Ending) -> None:
        self._renewals.discard(session)
        self._sessions.discard(session)
        metrics.ACTIVE_STREAMS.set(len(self._sessions))
        self._finishing += 1
        spawn(self._finish(session, ending), name=f"finish {session.grant.request_id}")

    async def _finish(self, session: Session, ending: Ending) -> None:
        try:
            # It never raises for Redis' sake and has deadlines of its own.
            await self._admission.finish(session.grant, session.final(ending))
        finally:
            self._finishing -= 1
            if not (self._sessions or self._finishing):
                self._empty.set()

    async def tick(self) -> None:
        """Look at every stream's deadlines, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._tick_each(asyncio.get_running_loop().time())

    async def _tick_each(self, now: float) -> None:
        # Apart from the loop above, whose variables would hold the last stream until the next one comes.
        for number, session in enumerate(list(self._sessions), 1):
            session.relay.tick(now)
            if number % TURN == 0:
                await asyncio.sleep(0)

    async def drain(self, lifecycle: Lifecycle) -> None:
        """Drain hook: streams go on until shortly before the deadline, then each is finished and closed with 1012."""
        settings = self._settings
        closing = settings.boundary_seconds + settings.drain_finish_seconds + settings.close_seconds
        waiting = spawn(self._empty.wait(), name="await-last-stream")
        due = spawn(lifecycle.deadline_reached(ahead=closing), name="await-drain-deadline")
        try:
            await asyncio.wait({waiting, due}, return_when=asyncio.FIRST_COMPLETED)
            if self._sessions:
                log.info("closing streams", streams=len(self._sessions))
            for number, session in enumerate(list(self._sessions), 1):
                session.relay.drain(CloseCode.SERVICE_RESTART, RESTART_REASON, settings.drain_finish_seconds)
                if number % TURN == 0:
                    await asyncio.sleep(0)
            await asyncio.wait({waiting}, timeout=closing + settings.close_seconds)
            for session in list(self._sessions):
                session.relay.abort("the drain's deadline passed")
            await asyncio.wait({waiting}, timeout=settings.close_seconds)
        finally:
            waiting.cancel()
            due.cancel()
