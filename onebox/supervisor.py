"""Starts the onebox's processes in order, shows their output, restarts the crashed, and stops them all for certain."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from aldea.tasks import cancel, spawn
from onebox.console import Console
from onebox.process import Process, ProcessSpec, StartFailed

# A process that is not ready by then will not be.
READY_SECONDS: Final = 60.0
# How often processes are checked: whether they are ready or have ended.
_POLL_SECONDS: Final = 0.05
# After this time, and again as often, the console shows what is being waited for.
_PATIENCE_SECONDS: Final = 2.0
# A process that crashes more often than this many times in a minute is left down.
MAX_RESTARTS: Final = 5
_RESTART_WINDOW_SECONDS: Final = 60.0
_RESTART_PAUSE_SECONDS: Final = 0.3
# All processes have ended by then, by force if need be; a person waits at the terminal.
STOP_SECONDS: Final = 9.0
# A longer line is cut: some program has gone wrong, and memory is bounded.
_LINE_BYTES: Final = 64 * 1024
# Of a command that is run to its end, this many last lines are kept: its result and what led to it.
_COMMAND_LINES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A process of the onebox and its place in the order.

    `after`: units and steps that must be ready first. `prepare` runs before every start, `once_ready` after it.
    `stop_stage`: the units of a lower stage have ended before those of a higher one are stopped. `tries`: how often it
    is started before the start has failed; what a killed predecessor left (a port) takes a moment to go.
    `plain_level`: what its lines that are not JSON are taken for.
    """

    spec: ProcessSpec
    after: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None
    once_ready: Callable[[], Awaitable[None]] | None = None
    stop_stage: int = 0
    tries: int = 1
    plain_level: str = "warning"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something to be done once on the way up: a migration, an account."""

    name: str
    run: Callable[[], Awaitable[None]]
    after: tuple[str, ...] = ()


@dataclass
class _Running:
    unit: Unit
    process: Process
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_RESTARTS))
    pump: asyncio.Task[None] | None = None
    keeper: asyncio.Task[None] | None = None
    # It is being ended so that its keeper starts it again: no crash.
    restarting: bool = False


class Supervisor:
    """Runs units and steps. Use it from the main thread: children die with the thread that started them."""

    def __init__(self, console: Console, logs: Path, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called whenever a unit runs again, as another process."""
        self.console = console
        self.logs = logs
        self.changed = changed
        self._running: dict[str, _Running] = {}
        self._ready: dict[str, asyncio.Event] = {}
        self._waiting: dict[str, float] = {}
        self._stopping = False

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each unit that runs now."""
        return {name: item.process.pid for name, item in self._running.items() if item.process.running}

    @property
    def began(self) -> bool:
        """Whether anything was started that `stop` has not ended."""
        return bool(self._running)

    async def start(self, units: Sequence[Unit], steps: Sequence[Step] = ()) -> None:
        """Start everything, each as soon as what it waits for is ready. Raises StartFailed; then call `stop`."""
        self._ready = {name: asyncio.Event() for name in [*(u.spec.name for u in units), *(s.name for s in steps)]}
        todo = [(f"start-{unit.spec.name}", self._start_unit(unit)) for unit in units]
        todo += [(f"step-{step.name}", self._take_step(step)) for step in steps]
        tasks = [spawn(_failure_of(name, coro), name=name) for name, coro in todo]
        patience = spawn(self._report_what_is_waited_for(), name="patience")
        try:
            for finished in asyncio.as_completed(tasks):
                if (failure := await finished) is not None:
                    raise failure
        finally:
            await cancel(*tasks, patience)

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """End every process within STOP_SECONDS, stage by stage; at once if `hurry` is set."""
        self._stopping = True
        deadline = time.monotonic() + STOP_SECONDS
        await cancel(*(item.keeper for item in self._running.values()))
        stages = sorted({item.unit.stop_stage for item in self._running.values()})
        for left, stage in zip(range(len(stages), 0, -1), stages, strict=True):
            items = [item for item in self._running.values() if item.unit.stop_stage == stage]
            for item in items:
                item.process.signal(item.unit.spec.stop_signal)
            # A stage that hangs does not take all the time from the ones after it.
            until = time.monotonic() + (deadline - time.monotonic()) * (0.6 if left > 1 else 1.0)
            while any(item.process.running for item in items) and time.monotonic() < until:
                if hurried(hurry):
                    break
                await asyncio.sleep(_POLL_SECONDS)
            for item in items:
                if item.process.running:
                    why = "was killed, as asked" if hurried(hurry) else "did not end in time and was killed"
                    self.console.warn(f"{item.unit.spec.name} {why}")
                    item.process.kill()
        for item in self._running.values():
            if item.pump is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(item.pump, 1.0)
        self._running.clear()

    async def restart(self, name: str) -> None:
        """End a unit in its own way and start it again, also one that stays down. That counts as no crash."""
        item = self._running[name]
        item.crashes.clear()
        item.restarting = True
        if item.keeper is None or item.keeper.done():
            item.keeper = spawn(self._keep(item), name=f"keep-{name}")
            return
        item.process.signal(item.unit.spec.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        # The keeper sees the end of the process, and the same object has the next one at once.
        while item.restarting and time.monotonic() < deadline:  # noqa: ASYNC110 - as in _until_ended
            await asyncio.sleep(_POLL_SECONDS)
        if item.restarting:
            self.console.warn(f"{name} did not end in time and was killed")
            item.process.kill()

    def kill(self, name: str) -> int:
        """Kill a unit's process (SIGKILL), as a crash would end it: it is started again. Returns the process's id."""
        process = self._running[name].process
        pid = process.pid
        process.signal(signal.SIGKILL)
        return pid

    async def run_command(self, spec: ProcessSpec, timeout: float = READY_SECONDS) -> list[str]:
        """Run a program to its end and return the lines it printed. Raises StartFailed."""
        process = Process(spec, self.logs / f"{spec.name}.log")
        process.launch(capture=True)
        printed: deque[str] = deque(maxlen=_COMMAND_LINES)
        pump = spawn(
            self._show_output(Unit(spec=spec, plain_level="info"), process.output, printed), name=f"output-{spec.name}"
        )
        deadline = time.monotonic() + timeout
        try:
            while process.running:
                if time.monotonic() > deadline:
                    raise StartFailed(f"{spec.name} did not finish within {timeout:g} s.{process.tail()}")
                await asyncio.sleep(_POLL_SECONDS)
            await pump
        finally:
            process.kill()
            await cancel(pump)
        if process.status != 0:
            raise StartFailed(f"{spec.name} failed ({describe_status(process.status)}).{process.tail()}")
        return list(printed)

    async def _start_unit(self, unit: Unit) -> None:
        await self._await_ready(unit.after)
        name = unit.spec.name
        self._waiting[name] = began = time.monotonic()
        item = self._running[name] = _Running(unit, Process(unit.spec, self.logs / f"{name}.log"))
        for left in range(unit.tries - 1, -1, -1):
            await self._launch(item)
            try:
                await self._until_ready(item)
                break
            except StartFailed:
                if item.process.running or not left:
                    raise
                await asyncio.sleep(_RESTART_PAUSE_SECONDS)
        self._waiting.pop(name, None)
        self.console.step(f"{name} is ready", time.monotonic() - began)
        self._ready[name].set()
        item.keeper = spawn(self._keep(item), name=f"keep-{name}")

    async def _take_step(self, step: Step) -> None:
        await self._await_ready(step.after)
        self._waiting[step.name] = began = time.monotonic()
        await step.run()
        self._waiting.pop(step.name, None)
        self.console.step(step.name, time.monotonic() - began)
        self._ready[step.name].set()

    async def _await_ready(self, names: Sequence[str]) -> None:
        for name in names:
            # What is not run here (it was given by a URL) is taken for ready.
            if name in self._ready:
                await self._ready[name].wait()

    async def _launch(self, item: _Running) -> None:
        if item.unit.prepare is not None:
            await asyncio.to_thread(item.unit.prepare)
        item.process.launch(capture=True)
        name = item.unit.spec.name
        item.pump = spawn(self._show_output(item.unit, item.process.output), name=f"output-{name}")

    async def _until_ready(self, item: _Running) -> None:
        name, process = item.unit.spec.name, item.process
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(item.unit.spec.ready):
            if not process.running:
                if item.pump is not None:
                    await item.pump
                raise StartFailed(f"{name} ended while starting (status {process.status}).{process.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} was not ready within {READY_SECONDS:g} s.{process.tail()}")
            await asyncio.sleep(_POLL_SECONDS)
        if item.unit.once_ready is not None:
            await item.unit.once_ready()

    async def _keep(self, item: _Running) -> None:
        """Start the unit again whenever it ends, unless it does so all the time."""
        name = item.unit.spec.name
        while True:
            await _until_ended(item.process)
            now = time.monotonic()
            if item.restarting:
                item.restarting = False
            else:
                ended = f"{name} ended unexpectedly ({describe_status(item.process.status)})"
                if len(item.crashes) == MAX_RESTARTS and now - item.crashes[0] < _RESTART_WINDOW_SECONDS:
                    times = f"{MAX_RESTARTS + 1} times in a minute"
                    self.console.fail(f"{ended}, {times}; it stays down.{item.process.tail()}")
                    return
                item.crashes.append(now)
                self.console.warn(f"{ended}; starting it again")
                await asyncio.sleep(_RESTART_PAUSE_SECONDS)
            try:
                await self._launch(item)
                await self._until_ready(item)
            except StartFailed as error:
                item.process.kill()
                self.console.warn(str(error))
            else:
                self.console.step(f"{name} is back", time.monotonic() - now)
                self.changed()

    async def _show_output(self, unit: Unit, pipe: IO[bytes], printed: deque[str] | None = None) -> None:
        """Write the unit's output to its log file and show it (and add it to `printed`), until it has ended."""
        name = unit.spec.name
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()
        log = LogFile(self.logs / f"{name}.log", lambda reason: self.console.warn(f"{reason}; {name} goes on without"))

        def show(line: bytes) -> None:
            log.write(line + b"\n")
            text = line.decode(errors="replace")
            self.console.service_line(name, text, plain_level=unit.plain_level)
            if printed is not None:
                printed.append(text)

        try:
            transport, _ = await loop.connect_read_pipe(lambda: Lines(show, finished), pipe)
            try:
                await finished
            finally:
                transport.close()
        finally:
            log.close()

    async def _report_what_is_waited_for(self) -> None:
        while True:
            await asyncio.sleep(_PATIENCE_SECONDS)
            now = time.monotonic()
            late = [f"{name} ({now - since:.0f} s)" for name, since in self._waiting.items() if now - since >= 1.0]
            if late:
                self.console.note("waiting for " + ", ".join(late))


class LogFile:
    """A log that a full disk does not end: the program whose output it takes must not be held up."""

    def __init__(self, path: Path, failed: Callable[[str], None]) -> None:
        """`failed` is called once, when a line could not be written; the next lines are tried again."""
        self._path = path
        self._failed = failed
        self._reported = False
        self._file: IO[bytes] | None = None

    def write(self, line: bytes) -> None:
        """Append this, if that is possible."""
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(line)
        except OSError as error:
            if not self._reported:
                self._reported = True
                self._failed(f"the log {self._path} cannot be written: {error.strerror}")

    def close(self) -> None:
        """Write nothing more."""
        if self._file is not None:
            self._file.close()


class Lines(asyncio.Protocol):
    """Cuts what it receives into lines, each of at most _LINE_BYTES."""

    def __init__(self, show: Callable[[bytes], None], finished: "asyncio.Future[None]") -> None:
        self._show = show
        self._finished = finished
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LINE_BYTES]
        for line in lines:
            self._show(line[:_LINE_BYTES])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._rest:
            self._show(self._rest)
        if not self._finished.done():
            self._finished.set_result(None)


async def _until_ended(process: Process) -> None:
    while process.running:  # noqa: ASYNC110 - the kernel says it to waiters only, and one loop for all platforms is simple
        await asyncio.sleep(_POLL_SECONDS)


async def _failure_of(name: str, coro: Coroutine[Any, Any, None]) -> StartFailed | None:
    """Await `coro`; a failed start is an outcome here, not a defect to be reported with a traceback."""
    try:
        await coro
    except StartFailed as failure:
        return failure
    except OSError as error:  # a full disk, a folder that may not be written
        return StartFailed(f"{name.partition('-')[2]} cannot be started: {os_error(error)}.")
    return None


def hurried(hurry: asyncio.Event | None) -> bool:
    """Whether a person has requested a second time that everything ends."""
    return hurry is not None and hurry.is_set()


def os_error(error: OSError) -> str:
    """What the operating system said, and about which file."""
    return f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")


def describe_status(status: int | None) -> str:
    """An exit status in words: `status 1`, or the signal's name."""
    if status is not None and status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"status {status}"
