"""One recognition process as the serving process sees it: its life, the streams in it, and what passes to and fro."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Counter

from aldea.standstill import lived
from aldea.tasks import cancel, spawn
from stt_api.model import Model
from stt_api.recognition import child
from stt_api.recognition.events import (
    FLUSH_BYTES,
    HEADER,
    Consumed,
    Ended,
    Event,
    Failed,
    Kind,
    Undecodable,
    frame,
    from_json,
)
from stt_api.recognition.watchdog import Watchdog

log = structlog.get_logger("stt_api.recognition.process")

CRASHES: Final = Counter(
    "aldea_stt_recognition_crashes", "Recognition processes that ended by themselves or by a signal"
)

# Bytes of a stream that a recognition process may have before it reports them done: 8 s of 16 kHz PCM.
WINDOW_BYTES: Final = 256 * 1024
# A process that cannot start is tried again, ever more slowly.
RESTART_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
# The last lines of a process that has ended come within so long.
LAST_LINES_SECONDS: Final = 2.0
# Prints the stacks of a process (stt_api.recognition.worker).
SHOW_STACKS: Final = getattr(signal, "SIGUSR1", None)


class WorkerLost(Exception):
    """The recognition process of this stream died; what it had heard is lost."""


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
        self.unanswered = 0  # bytes (flushes and the end too) sent that the process has not reported done
        self._heard = 0.0  # lived time of the last event

    @property
    def settled(self) -> float | None:
        """Since when (lived time) nothing is left to be recognised of what was sent; None while something is."""
        return None if self.unanswered > 0 else self._heard

    async def send(self, audio: bytes) -> None:
        """Send audio, waiting while the window is full. Raises WorkerLost."""
        view = memoryview(audio)
        while view and await self._room_comes():
            part, view = view[: self._window], view[self._window :]
            self._window -= len(part)
            self._expect(len(part))
            await self._write(Kind.AUDIO, bytes(part))

    async def flush(self) -> None:
        """Request that what was heard so far is made final, waiting while the window is full. Raises WorkerLost."""
        if await self._room_comes():
            # Its caller waits for words, as after audio, and however many are sent, few wait.
            self._window -= FLUSH_BYTES
            self._expect(FLUSH_BYTES)
            await self._write(Kind.FLUSH)

    async def end(self) -> None:
        """No more audio comes: the rest is recognised, then Ended follows. Raises WorkerLost.

        Audio sent afterwards is dropped, and a second end changes nothing.
        """
        if self._ended:
            return
        self._ended = True
        self._room.set()
        # The stream's last event follows the end, so until then there is work to do.
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
        self._heard = lived(asyncio.get_running_loop())
        if isinstance(event, Consumed):
            self.unanswered -= event.size
        elif isinstance(event, Ended | Undecodable | Failed):
            # Nothing is owed any more, and what is still sent goes nowhere.
            self._over = True
            self._room.set()
            self.unanswered = 0
        self._events.put_nowait(event)

    async def _room_comes(self) -> bool:
        """Wait while the window is full. False if nothing more can be sent. Raises WorkerLost."""
        while self._window <= 0 and not (self._over or self._ended):
            self._room.clear()
            await self._room.wait()
            self._check()
        return not (self._over or self._ended)

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
    model: Model
    memory_mb: int | None = None  # that the process may use
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    restarts: int = 0
    used: int = 0
    streams: dict[int, Stream] = field(default_factory=dict)
    last_heard: float = 0.0  # lived time: a pause of this process is no silence of the other
    _watchdog: Watchdog = field(default_factory=Watchdog)
    _printed: child.LastLines = field(default_factory=child.LastLines)  # by the process at hand
    _condemned: bool = False  # its stacks were requested: at the next look it is killed
    _killed: str | None = None  # why this server killed the process at hand

    @property
    def free(self) -> int:
        """Places that can be lent now."""
        return self.places - self.used if self.ready else 0

    async def write(self, data: bytes) -> None:
        """Send a frame to the process. Raises WorkerLost."""
        process = self.process
        if process is None or process.stdin is None or not self.ready:
            raise WorkerLost("the recognition process has ended")
        try:
            process.stdin.write(data)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerLost("the recognition process has ended") from error

    @property
    def busy(self) -> bool:
        """Whether any of its streams waits for an event."""
        return any(stream.unanswered > 0 for stream in self.streams.values())

    def work_begins(self) -> None:
        """Called before the process gets work: its silence counts from here if it was idle."""
        if not self.busy:
            self.last_heard = lived(asyncio.get_running_loop())

    def kill_if_stuck(self) -> None:
        """Called from time to time: end the process if it is stuck, once it printed where. Another one follows."""
        process = self.process
        # One that loads its model has work to do as well.
        if process is None or process.returncode is not None or (self.ready and not self.busy):
            self._condemned = False
            return
        now = lived(asyncio.get_running_loop())
        why = self._watchdog.stuck(now, self.last_heard, child.computed_seconds(process.pid))
        if why is None:
            self._condemned = False
            return
        with suppress(ProcessLookupError):
            if self.ready and SHOW_STACKS is not None and not self._condemned:
                self._condemned = True
                process.send_signal(SHOW_STACKS)
                return
            self._killed = f"stuck and killed: {why}"
            process.kill()

    async def keep_running(self, on_ready: Callable[[], None]) -> None:
        """Run a process, and another one whenever it ends, until cancelled. `on_ready` is called when each can work."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._run(on_ready)
            except OSError as error:
                log.error("recognition process start failed", error=str(error))  # noqa: TRY400 - the text says it all
            except Exception:
                # If this task ended, no other process would be started, and every request would wait for one.
                log.exception("recognition process supervision failed")
            finally:
                self._bury()
            failures = 0 if asyncio.get_running_loop().time() - began > RESTART_SECONDS[-1] else failures + 1
            await asyncio.sleep(RESTART_SECONDS[min(failures, len(RESTART_SECONDS) - 1)])

    async def _run(self, on_ready: Callable[[], None]) -> None:
        """Start the process and read what it says until it ends."""
        process = await child.start(self.model, self.memory_mb)
        assert process.stderr is not None
        self.process = process
        self.last_heard = lived(asyncio.get_running_loop())
        self._printed, self._killed = child.LastLines(), None
        following = spawn(self._printed.follow(process.stderr), name=f"recognizer-stderr-{process.pid}")
        try:
            await self._listen(process, on_ready)
            self.ready = False
            # Whatever closed its stdout: nothing comes of it any more.
            await child.stop(process)
            await asyncio.wait({following}, timeout=LAST_LINES_SECONDS)
            CRASHES.inc()
            status = process.returncode or 0
            log.error(
                "recognition process ended",
                pid=process.pid,
                status=status,
                cause=self._killed or child.cause(status),
                streams=len(self.streams),
                printed=self._printed.kept,
            )
        finally:
            self.ready = False
            await child.stop(process)
            await cancel(following)

    async def _listen(self, process: asyncio.subprocess.Process, on_ready: Callable[[], None]) -> None:
        assert process.stdout is not None
        while True:
            try:
                length, kind, number = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                payload = await process.stdout.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.last_heard = lived(asyncio.get_running_loop())
            if kind == Kind.READY:
                self.ready = True
                log.info("recognition process ready", pid=process.pid)
                on_ready()
            elif (stream := self.streams.get(number)) is not None:
                stream.deliver(from_json(payload))

    def _bury(self) -> None:
        self.ready = False
        self.process = None
        self.restarts += 1
        self.used = 0
        streams, self.streams = list(self.streams.values()), {}
        for stream in streams:
            stream.fail(WorkerLost("the recognition process died"))
