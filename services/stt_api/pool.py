"""The recognition processes as the serving process sees them: places lent, deaths noticed, the dead replaced."""

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from aldea.errors import ServiceUnavailable
from aldea.tasks import cancel, spawn
from stt_api.events import HEADER, Consumed, Ended, Event, Failed, Kind, Undecodable, frame, from_json
from stt_api.options import ListenOptions

log = structlog.get_logger("stt_api.pool")

# Bytes of a stream that a recognition process may have before it reports them done: 8 s of 16 kHz PCM.
WINDOW_BYTES: Final = 256 * 1024
# A recognition process with work to do that says nothing for so long is stuck, and is killed.
STUCK_SECONDS: Final = 30.0
# A process that cannot start is tried again, ever more slowly.
RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
# A process that was asked to end (its stdin closed) has this long.
STOP_SECONDS: Final = 2.0
# What a caller is told to wait when all places are taken: about the time in which one comes free.
RETRY_AFTER_SECONDS: Final = 5.0


class WorkerLost(Exception):
    """The recognition process of this stream died; what it had heard is gone."""


class Stream:
    """A place in a recognition process: audio in, events out.

    What was sent and is not done with never exceeds WINDOW_BYTES, and counts as done with only once `next_event` has
    been called beyond it. So a caller that stops taking events is soon unable to send: nothing piles up between.
    """

    def __init__(self, worker: "Worker", number: int) -> None:
        self._worker = worker
        self._number = number
        # Bounded by the window: a process emits a bounded number of events for each byte that it is sent.
        self._events: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._window = WINDOW_BYTES
        self._room = asyncio.Event()
        self._room.set()
        self._lost: Exception | None = None
        self._ended = self._over = False
        self.unanswered = 0  # bytes (and the end) sent that the process has not reported done

    async def send(self, audio: bytes) -> None:
        """Send audio, waiting while the window is full. Raises WorkerLost."""
        view = memoryview(audio)
        while view:
            while self._window <= 0 and not (self._over or self._ended):
                self._room.clear()
                await self._room.wait()
                self._check()
            if self._over or self._ended:
                return
            part, view = view[: self._window], view[self._window :]
            self._window -= len(part)
            self._expect(len(part))
            await self._write(Kind.AUDIO, bytes(part))

    async def flush(self) -> None:
        """Ask for what was heard so far to be made final. Raises WorkerLost."""
        await self._write(Kind.FLUSH)

    async def end(self) -> None:
        """No more audio comes: the rest is recognised, then Ended follows. Raises WorkerLost.

        Audio sent afterwards is dropped, and a second end changes nothing.
        """
        if self._ended:
            return
        self._ended = True
        self._room.set()
        # The end is answered by the stream's last event, so until then there is work to do.
        self._expect(1)
        await self._write(Kind.END)

    async def next_event(self) -> Event:
        """The next event but Consumed, which is kept account of here. Raises WorkerLost, or what `fail` was given."""
        while True:
            event = await self._events.get()
            if isinstance(event, Exception):
                raise event
            if not isinstance(event, Consumed):
                return event
            self._window += event.size
            self._room.set()

    def fail(self, error: Exception) -> None:
        """Have `next_event` raise this after the events that came, and `send` at once."""
        if self._lost is None:
            self._lost = error
            self._events.put_nowait(error)
            self._room.set()

    def deliver(self, event: Event) -> None:
        """Take an event from the process."""
        if isinstance(event, Consumed):
            self.unanswered -= event.size
        elif isinstance(event, Ended | Undecodable | Failed):
            # Nothing is owed any more, and what is still sent goes nowhere.
            self._over = True
            self._room.set()
            self.unanswered = 0
        self._events.put_nowait(event)

    def _expect(self, amount: int) -> None:
        if self._over:
            return
        self._worker.work_begins()
        self.unanswered += amount

    async def _write(self, kind: Kind, payload: bytes = b"") -> None:
        self._check()
        if not self._over:
            await self._worker.write(frame(kind, self._number, payload))

    def _check(self) -> None:
        if self._lost is not None:
            raise self._lost


@dataclass(eq=False)
class Worker:
    """One recognition process at a time, and the streams in it."""

    places: int
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    restarts: int = 0
    used: int = 0
    streams: dict[int, Stream] = field(default_factory=dict)
    last_heard: float = 0.0

    @property
    def free(self) -> int:
        """Places that can be lent now."""
        return self.places - self.used if self.ready else 0

    async def write(self, data: bytes) -> None:
        """Send a frame to the process. Raises WorkerLost."""
        process = self.process
        if process is None or process.stdin is None or not self.ready:
            raise WorkerLost("the recognition process is gone")
        try:
            process.stdin.write(data)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerLost("the recognition process is gone") from error

    @property
    def busy(self) -> bool:
        """Whether it owes an answer to any of its streams."""
        return any(stream.unanswered > 0 for stream in self.streams.values())

    def work_begins(self) -> None:
        """Called before the process gets work: its silence counts from here if it was idle."""
        if not self.busy:
            self.last_heard = time.monotonic()

    def stuck(self, now: float) -> bool:
        """Whether it has had work for too long without a sign of life."""
        return self.ready and self.busy and now - self.last_heard > STUCK_SECONDS


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
    """Keeps the recognition processes running and lends their places, in the order of asking."""

    def __init__(self, workers: int, places: int, *, max_waiting: int, waiting_seconds: float) -> None:
        """`places`: per process. `max_waiting` requests wait at once, each for at most `waiting_seconds`."""
        self.workers = [Worker(places) for _ in range(workers)]
        self.places = places
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
    def used(self) -> int:
        """Places lent."""
        return sum(worker.used for worker in self.workers)

    def start(self) -> None:
        """Start the processes; they are ready a moment later, and requests wait for that."""
        self._tasks = [
            *(spawn(self._keep_running(worker), name=f"recognizer-{i}") for i, worker in enumerate(self.workers)),
            spawn(self._watch(), name="recognizer-watch"),
        ]

    async def close(self) -> None:
        """Stop the processes."""
        await cancel(*self._tasks)

    async def check(self) -> None:
        """Readiness: raises if no process is ready."""
        if not any(worker.ready for worker in self.workers):
            raise RuntimeError("no recognition process is ready")

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
                self._tell_aborted(worker, number)
            self._grant()

    def _tell_aborted(self, worker: Worker, number: int) -> None:
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
                text = self._busy(f"and none came free within {self._waiting_seconds:g} s")
                raise ServiceUnavailable(text, retry_after=RETRY_AFTER_SECONDS) from None
            raise

    def _busy(self, what: str) -> str:
        return f"All {len(self.workers) * self.places} places for streams are taken {what}; try again later."

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

    async def _keep_running(self, worker: Worker) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._run(worker)
            except OSError as error:
                log.error("recognition process cannot start", error=str(error))  # noqa: TRY400 - the text says it all
            finally:
                self._bury(worker)
            failures = 0 if time.monotonic() - began > RESTART_SECONDS[-1] else failures + 1
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])

    async def _run(self, worker: Worker) -> None:
        """Start the process and read what it says until it ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "stt_api.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # It finds the same packages as this process, however this one found them.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        worker.process = process
        try:
            await self._listen(worker, process)
            status = await process.wait()
            log.error("recognition process ended", pid=process.pid, status=status, streams=len(worker.streams))
        finally:
            worker.ready = False
            await _stop(process)

    async def _listen(self, worker: Worker, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                length, kind, number = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                payload = await process.stdout.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            worker.last_heard = time.monotonic()
            if kind == Kind.READY:
                worker.ready = True
                log.info("recognition process ready", pid=process.pid)
                self._grant()
            elif (stream := worker.streams.get(number)) is not None:
                stream.deliver(from_json(payload))

    def _bury(self, worker: Worker) -> None:
        worker.ready = False
        worker.process = None
        worker.restarts += 1
        worker.used = 0
        streams, worker.streams = list(worker.streams.values()), {}
        for stream in streams:
            stream.fail(WorkerLost("the recognition process died"))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for worker in self.workers:
                if worker.stuck(time.monotonic()) and worker.process is not None:
                    log.error("recognition process is stuck and is killed", pid=worker.process.pid)
                    with suppress(ProcessLookupError):
                        worker.process.kill()


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the process for certain: its stdin closes, then it is killed."""
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
