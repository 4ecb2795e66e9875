"""The recognition processes' places, lent to streams in the order of the requests."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from aldea.errors import ServiceUnavailable
from aldea.service.lifecycle import NotReady
from aldea.tasks import cancel, spawn
from stt_api.model import Model
from stt_api.options import ListenOptions
from stt_api.recognition.events import Kind, frame
from stt_api.recognition.process import Stream, Worker, WorkerLost

log = structlog.get_logger("stt_api.recognition.pool")

# How long a caller is to wait (Retry-After) when all places are taken: about the time in which one comes free.
RETRY_AFTER_SECONDS: Final = 5.0
# How often processes are looked at for being stuck.
WATCH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Room for `count` channels in a worker, as long as the process that it was lent from lives."""

    worker: Worker
    count: int
    generation: int

    @classmethod
    def take(cls, worker: Worker, count: int) -> "Place":
        """Lend from `worker`."""
        worker.used += count
        return cls(worker, count, worker.restarts)

    @property
    def valid(self) -> bool:
        """Whether the process still lives."""
        return self.worker.restarts == self.generation

    def give_back(self) -> None:
        """End the loan; one from a dead process ended with it."""
        if self.valid:
            self.worker.used -= self.count


class WorkerPool:
    """Keeps the recognition processes running and lends their places, in the order of the requests."""

    def __init__(
        self,
        workers: int,
        places: int,
        model: Model,
        *,
        max_waiting: int,
        waiting_seconds: float,
        memory_mb: int | None = None,
    ) -> None:
        """`places`, `memory_mb`: per process. `max_waiting` requests wait at once, each `waiting_seconds` at most."""
        self.workers = [Worker(places, model, memory_mb) for _ in range(workers)]
        self.places = places
        self.model = model
        self._max_waiting = max_waiting
        self._waiting_seconds = waiting_seconds
        self._waiting: deque[tuple[int, asyncio.Future[Place]]] = deque()
        self._numbers = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiting)

    @property
    def capacity(self) -> int:
        """Places of the processes that are ready: one that starts, or starts again, has none yet."""
        return sum(worker.places for worker in self.workers if worker.ready)

    @property
    def used(self) -> int:
        """Places lent."""
        return sum(worker.used for worker in self.workers)

    def start(self) -> None:
        """Start the processes; they are ready a moment later, and requests wait for that."""
        self._tasks = [
            *(spawn(worker.keep_running(self._grant), name=f"recognizer-{i}") for i, worker in enumerate(self.workers)),
            spawn(self._watch(), name="recognizer-watch"),
        ]

    async def close(self) -> None:
        """Stop the processes."""
        await cancel(*self._tasks)

    async def check(self) -> None:
        """Readiness: raises if no process is ready."""
        if not any(worker.ready for worker in self.workers):
            raise NotReady("no recognition process is ready")

    @asynccontextmanager
    async def stream(self, options: ListenOptions) -> AsyncIterator[Stream]:
        """Lend a place per recognised channel. Raises ServiceUnavailable if none comes free in time."""
        place = await self._place(options.recognized_channels)
        worker = place.worker
        self._numbers += 1
        number = self._numbers
        stream = Stream(worker, number)
        try:
            if not place.valid:
                raise ServiceUnavailable("The recognition process has just failed; try again.")
            worker.streams[number] = stream
            try:
                await worker.write(frame(Kind.OPEN, number, options.to_json().encode()))
            except WorkerLost as lost:
                raise ServiceUnavailable("The recognition process has just failed; try again.") from lost
            yield stream
        finally:
            place.give_back()
            if place.valid and worker.streams.pop(number, None) is not None:
                # Not awaited: the frame is nine bytes, and this must not be held up by anything.
                self._report_abort(worker, number)
            self._grant()

    def _report_abort(self, worker: Worker, number: int) -> None:
        if worker.process is not None and worker.process.stdin is not None and worker.ready:
            with suppress(ConnectionError, RuntimeError):
                worker.process.stdin.write(frame(Kind.ABORT, number))

    async def _place(self, places: int) -> Place:
        if places > self.places:
            raise ServiceUnavailable(
                f"{places} channels are more than a recognition process serves here ({self.places}).", retry_after=None
            )
        if not self._waiting and (worker := self._roomiest(places)) is not None:
            return Place.take(worker, places)
        if len(self._waiting) >= self._max_waiting:
            raise ServiceUnavailable(self._busy("and too many wait"), retry_after=RETRY_AFTER_SECONDS)
        granted: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((places, granted))
        try:
            return await asyncio.wait_for(asyncio.shield(granted), self._waiting_seconds)
        except BaseException as error:
            # A place granted in this very moment is given back.
            if granted.done() and not granted.cancelled():
                granted.result().give_back()
            granted.cancel()
            self._waiting = deque(entry for entry in self._waiting if entry[1] is not granted)
            self._grant()
            if isinstance(error, TimeoutError):
                text = self._busy(f"and none became free within {self._waiting_seconds:g} s")
                raise ServiceUnavailable(text, retry_after=RETRY_AFTER_SECONDS) from None
            raise

    def _busy(self, what: str) -> str:
        if not self.capacity:
            return (
                f"The recognition processes are starting: there are no places for streams yet, {what}; try again later."
            )
        return f"All {self.capacity} places for streams are taken, {what}; try again later."

    def _roomiest(self, places: int) -> Worker | None:
        best = max(self.workers, key=lambda worker: worker.free)
        return best if best.free >= places else None

    def _grant(self) -> None:
        while self._waiting:
            places, granted = self._waiting[0]
            if (worker := self._roomiest(places)) is None:
                return
            self._waiting.popleft()
            granted.set_result(Place.take(worker, places))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for worker in self.workers:
                try:
                    worker.kill_if_stuck()
                except Exception:
                    # This task must go on: it is the only one that checks the other processes.
                    log.exception("recognition process check failed")
