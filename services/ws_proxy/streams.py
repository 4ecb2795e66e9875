"""The streams that are open in this process, and those about to be: their ticker, and their drain."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final

import structlog

from aldea.admission import Admission, Renewals
from aldea.service.lifecycle import Lifecycle
from aldea.standstill import SECOND_LOOK_SECONDS, lived, lost
from aldea.tasks import spawn
from aldea.upstream import Upstream
from ws_proxy import metrics
from ws_proxy.session import Session, ended_attributes
from ws_proxy.settings import Settings
from ws_proxy.websocket.frames import CloseCode
from ws_proxy.websocket.terms import Ending

log = structlog.get_logger("ws_proxy.streams")

# How often deadlines are looked at; each of them is that much coarse.
TICK_SECONDS: Final = 1.0
# After so many streams in a row the event loop gets a turn: a thousand at once would hold their frames up.
TURN: Final = 64
RESTART_REASON: Final = "the service restarts, connect again"
# Once a drain is over: for both peers to reply to their Close, and for the final readings of those that did not.
HURRY_SECONDS: Final = 1.0
FINALS_SECONDS: Final = 2.0
# A stream leaves its server when a final result has come, when so little of its audio is not final, or when it was
# waited for that for long enough.
MOVE_BEHIND_SECONDS: Final = 0.5
MOVE_PATIENCE_SECONDS: Final = 5.0
# Between two looks for a stream that has come so far, and after a move that found no other server.
MOVE_LOOK_SECONDS: Final = 0.2
MOVE_AGAIN_SECONDS: Final = 2.0


class LiveStreams:
    """All running sessions of the process, and its handshakes."""

    def __init__(self, settings: Settings, admission: Admission, renewals: Renewals) -> None:
        self._settings = settings
        self._admission = admission
        self._renewals = renewals
        self._sessions: set[Session] = set()
        self._handshakes = 0
        self._openings: set[asyncio.Timeout] = set()  # of the handshakes that wait for an STT server
        self._leaving: set[Upstream] = set()  # the servers whose streams are being moved
        self._finishing = 0  # streams that have ended and whose final reading is on its way
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._sessions)

    @contextmanager
    def handshake(self) -> Iterator[None]:
        """Around a handshake: it counts as a stream, so that a drain waits for its response."""
        self._handshakes += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._handshakes -= 1
            self._look_whether_empty()

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Around the wait for an STT server; a drain ends it: TimeoutError."""
        async with asyncio.timeout(None) as waiting:
            self._openings.add(waiting)
            try:
                yield
            finally:
                self._openings.discard(waiting)

    def add(self, session: Session) -> None:
        """Follow a session whose relay has started until its final reading is written."""
        self._empty.clear()
        self._sessions.add(session)
        self._renewals.add(session)
        metrics.ACTIVE_STREAMS.set(len(self._sessions))
        # A running stream needs no task; its end gets one that nobody can cancel.
        session.relay.ended.add_done_callback(partial(self._ended, session))

    def leave(self, server: Upstream) -> None:
        """`server` is to be left: its streams go to other ones, one by one, each shortly after its last final words."""
        if server not in self._leaving:
            self._leaving.add(server)
            spawn(self._move_all(server), name=f"leave {server.name}")

    async def _move_all(self, server: Upstream) -> None:
        loop = asyncio.get_running_loop()
        began = lived(loop)
        finals: dict[Session, float] = {}
        try:
            while server.leaving and any(session.placement.server is server for session in self._sessions):
                patient = lived(loop) - began < MOVE_PATIENCE_SECONDS
                found = await self._move_ready(server, finals, patient=patient)
                await asyncio.sleep(MOVE_LOOK_SECONDS if found else MOVE_AGAIN_SECONDS)
        finally:
            self._leaving.discard(server)

    async def _move_ready(self, server: Upstream, finals: dict[Session, float], *, patient: bool) -> bool:
        """One round; False if a stream found no other server.

        `finals`: up to where each stream's words were final in the round before.
        """
        before = dict(finals)
        finals.clear()
        for session in list(self._sessions):
            placement = session.placement
            if placement.server is not server or not session.relay.continuable:
                continue
            final = finals[session] = placement.final_seconds
            came = final > before.get(session, final)
            if patient and not came and placement.unfinished_seconds > MOVE_BEHIND_SECONDS:
                continue
            if not server.leaving or not await placement.move():
                return False
        return True

    def _ended(self, session: Session, ended: asyncio.Future[Ending]) -> None:
        ending = ended.result()
        self._renewals.discard(session)
        self._sessions.discard(session)
        metrics.ACTIVE_STREAMS.set(len(self._sessions))
        self._finishing += 1
        spawn(self._finish(session, ending), name=f"finish {session.grant.request_id}")

    async def _finish(self, session: Session, ending: Ending) -> None:
        trace, final = session.grant.trace, session.final(ending)
        try:
            # It never raises for Redis' sake and has deadlines of its own.
            await self._admission.finish(session.grant, final)
        finally:
            if trace is not None and trace.span is not None:
                trace.end(101, ended_attributes(final, ending))
            self._finishing -= 1
            self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if not (self._sessions or self._finishing or self._handshakes):
            self._empty.set()

    async def tick(self) -> None:
        """Look at every stream's deadlines, for ever."""
        loop = asyncio.get_running_loop()
        before = lost()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if lost() != before:
                # The process stood still: what the peers sent meanwhile is read before any of them is judged.
                before = lost()
                await asyncio.sleep(SECOND_LOOK_SECONDS)
            await self._tick_each(lived(loop))

    async def _tick_each(self, now: float) -> None:
        # Apart from the loop above, whose variables would hold the last stream until the next one comes.
        for number, session in enumerate(list(self._sessions), 1):
            session.relay.tick(now)
            server = session.placement.server
            if server is not None and server.leaving:
                self.leave(server)  # it became one that is to be left while it took this stream
            if number % TURN == 0:
                await asyncio.sleep(0)

    async def drain(self, lifecycle: Lifecycle) -> None:
        """Drain hook: streams go on until shortly before the deadline, then each is finished and closed with 1012.

        Handshakes end at once: nothing was sent on them yet, and a client that is refused goes elsewhere.
        """
        for opening in list(self._openings):
            if not opening.expired():
                opening.reschedule(0.0)  # long ago: at once
        settings = self._settings
        closing = settings.boundary_seconds + settings.drain_finish_seconds + settings.close_seconds
        waiting = spawn(self._empty.wait(), name="await-last-stream")
        due = spawn(lifecycle.deadline_reached(ahead=closing), name="await-last-words")
        over = spawn(lifecycle.deadline_reached(), name="await-drain-deadline")
        try:
            await asyncio.wait({waiting, due}, return_when=asyncio.FIRST_COMPLETED)
            if self._sessions:
                log.info("closing streams", streams=len(self._sessions))
            for number, session in enumerate(list(self._sessions), 1):
                session.relay.drain(CloseCode.SERVICE_RESTART, RESTART_REASON, settings.drain_finish_seconds)
                if number % TURN == 0:
                    await asyncio.sleep(0)
            await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, due, over):
                task.cancel()
        await self.close()

    async def close(self) -> None:
        """End what still runs within moments, each with its final reading: no drain, or one that was cut short."""
        if self._sessions:
            log.warning("aborting streams", streams=len(self._sessions))
        for session in list(self._sessions):
            session.relay.hurry(CloseCode.SERVICE_RESTART, RESTART_REASON)
        await self._emptied(HURRY_SECONDS)
        for session in list(self._sessions):
            session.relay.abort("the process ends")
        await self._emptied(FINALS_SECONDS)

    async def _emptied(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
