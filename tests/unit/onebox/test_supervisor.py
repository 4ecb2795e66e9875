import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from onebox.console import Console
from onebox.process import ProcessSpec, StartFailed
from onebox.supervisor import MAX_RESTARTS, STOP_SECONDS, Step, Supervisor, Unit

# Python without site-packages starts in some 15 ms.
FAST_PYTHON = (sys.executable, "-I", "-S", "-c")
SLEEP = "import time\ntime.sleep(600)"
IGNORES_TERM = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen(PATH, 'w')\ntime.sleep(600)"


class Bench:
    """A supervisor and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stream = io.StringIO()
        self.supervisor = Supervisor(Console(stream=self.stream), folder)

    @property
    def said(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def anyone(tmp_path: Path) -> Callable[..., Unit]:
    def unit(name: str, code: str = SLEEP, *, after: tuple[str, ...] = (), stage: int = 0, ready: str = "") -> Unit:
        check = (tmp_path / ready).exists if ready else lambda: True
        spec = ProcessSpec(
            name=name, argv=(*FAST_PYTHON, code.replace("PATH", repr(str(tmp_path / ready)))), ready=check
        )
        return Unit(spec=spec, after=after, stop_stage=stage)

    return unit


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    made = Bench(folder)
    try:
        yield made
    finally:
        await made.supervisor.stop()


async def until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


async def test_a_unit_starts_only_when_what_it_waits_for_is_ready(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    happened: list[str] = []

    async def migrate() -> None:
        happened.append("step")

    def remember(name: str) -> Callable[[], None]:
        return lambda: happened.append(name)

    store = anyone("store", "open(PATH, 'w')\n" + SLEEP, ready="store-is-up")
    service = anyone("service", after=("migrations",))
    store = Unit(spec=store.spec, prepare=remember("store"))
    service = Unit(spec=service.spec, prepare=remember("service"), after=service.after)
    async with bench(tmp_path) as at:
        await at.supervisor.start([service, store], [Step(name="migrations", run=migrate, after=("store",))])
        assert happened == ["store", "step", "service"]
        assert set(at.supervisor.pids) == {"store", "service"}


async def test_what_is_not_run_here_is_taken_for_ready(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("service", after=("a-store-given-by-its-url",))])
        assert "service is ready" in at.said


async def test_a_unit_that_ends_while_starting_fails_the_start_with_what_it_printed(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    broken = anyone("broken", "raise SystemExit('REDIS_URL: got nothing')", ready="never")
    async with bench(tmp_path) as at:
        with pytest.raises(StartFailed, match=r"broken ended while starting[^$]*REDIS_URL: got nothing"):
            await at.supervisor.start([anyone("healthy"), broken])


async def test_a_store_is_given_several_tries(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    marker = tmp_path / "tried"
    code = f"import os, sys, time\nm={str(marker)!r}\nif not os.path.exists(m): open(m, 'w'); sys.exit(1)\n"
    second = anyone("store", code + "open(PATH, 'w')\n" + SLEEP, ready="store-is-up")
    async with bench(tmp_path) as at:
        await at.supervisor.start([Unit(spec=second.spec, tries=2)])
        assert "store is ready" in at.said


async def test_a_crashed_unit_is_started_again_and_a_line_says_so(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("engine")])
        first = at.supervisor.pids["engine"]
        assert at.supervisor.kill("engine") == first
        await until(lambda: at.supervisor.pids.get("engine", first) != first, "it runs again")
        await until(lambda: "engine is back" in at.said, "and a line says so")
        assert "engine ended unexpectedly (killed by SIGKILL); starting it again" in at.said


async def test_a_unit_that_crashes_all_the_time_stays_down(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("fragile", "")])
        await until(lambda: "it stays down" in at.said, "it gives up")
        assert at.said.count("starting it again") == MAX_RESTARTS
        assert not at.supervisor.pids


async def test_output_is_shown_with_the_units_name_and_kept_whole_in_its_log(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    record = '{"event": "serving", "level": "info", "port": 8101}'
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("proxy", f"print({record!r}, flush=True)\n{SLEEP}")])
        await until(lambda: "serving" in at.said, "the line is shown")
        assert "proxy" in at.said
        assert "port=8101" in at.said
    assert (tmp_path / "proxy.log").read_text() == record + "\n"


async def test_units_stop_stage_by_stage(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    note = tmp_path / "ended"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open({note!r}, 'a').write({name!r} + ' ')\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nopen(PATH, 'w')\ntime.sleep(600)"
    )
    names = ["store", "balancer", "proxy"]
    units = [
        anyone(name, code.format(note=str(note), name=name), stage=2 - place, ready=f"{name}-up")
        for place, name in enumerate(names)
    ]
    async with bench(tmp_path) as at:
        await at.supervisor.start(units)
    assert note.read_text().split() == ["proxy", "balancer", "store"]


async def test_a_unit_that_ignores_the_signal_is_killed_and_one_in_a_hurry_at_once(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    hurry = asyncio.Event()
    hurry.set()
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("stubborn", IGNORES_TERM, ready="stubborn-up")])
        pid = at.supervisor.pids["stubborn"]
        async with asyncio.timeout(STOP_SECONDS / 2):  # without the hurry it would have got all of the time
            await at.supervisor.stop(hurry)
        assert not psutil.pid_exists(pid)
        assert "stubborn was killed, as asked" in at.said
        assert "did not end in time" not in at.said


async def test_a_commands_lines_come_back_and_its_failure_quotes_them(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        fine = ProcessSpec(name="fine", argv=(*FAST_PYTHON, "print('one'); print('two')"))
        assert await at.supervisor.run_command(fine) == ["one", "two"]
        broken = ProcessSpec(name="broken", argv=(*FAST_PYTHON, "print('no such table'); raise SystemExit(3)"))
        with pytest.raises(StartFailed, match=r"broken failed \(status 3\)[^$]*no such table"):
            await at.supervisor.run_command(broken)


async def test_a_command_that_does_not_finish_is_ended(tmp_path: Path) -> None:
    async with bench(tmp_path) as at:
        with pytest.raises(StartFailed, match=r"slow did not finish within 0\.2 s"):
            await at.supervisor.run_command(ProcessSpec(name="slow", argv=(*FAST_PYTHON, SLEEP)), timeout=0.2)
    assert not [child for child in psutil.Process().children() if SLEEP in child.cmdline()]


async def test_a_start_that_takes_long_says_what_it_waits_for(
    tmp_path: Path, anyone: Callable[..., Unit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onebox.supervisor._PATIENCE_SECONDS", 0.02)
    go = tmp_path / "go"

    async def migrate() -> None:
        while not go.exists():
            await asyncio.sleep(0.01)

    async with bench(tmp_path) as at:
        starting = asyncio.timeout(60)
        async with starting, asyncio.TaskGroup() as group:
            group.create_task(at.supervisor.start([], [Step(name="migrations", run=migrate)]))
            await until(lambda: "waiting for migrations" in at.said, "it says so")
            go.touch()


async def test_a_restarted_unit_is_a_new_process_and_no_crash(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("service")])
        for _ in range(MAX_RESTARTS + 2):
            before = at.supervisor.pids["service"]
            await at.supervisor.restart("service")
            await until(lambda old=before: at.supervisor.pids.get("service", old) != old, "a new process")  # type: ignore[misc]
        assert "unexpectedly" not in at.said


async def test_a_unit_that_stays_down_is_started_by_a_restart(tmp_path: Path, anyone: Callable[..., Unit]) -> None:
    broken = tmp_path / "broken"
    code = f"import os, sys\nif os.path.exists({str(broken)!r}): sys.exit(1)\n" + SLEEP
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("service", code)])
        broken.touch()
        os.kill(at.supervisor.pids["service"], signal.SIGKILL)
        await until(lambda: "stays down" in at.said, "it stays down")
        broken.unlink()
        await at.supervisor.restart("service")
        await until(lambda: "service" in at.supervisor.pids, "it runs again")


async def test_whoever_is_notified_of_changes_sees_the_process_that_runs_now(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    seen: list[int] = []
    async with bench(tmp_path) as at:
        at.supervisor.changed = lambda: seen.append(at.supervisor.pids["service"])
        await at.supervisor.start([anyone("service")])
        first = at.supervisor.pids["service"]
        os.kill(first, signal.SIGKILL)
        await until(lambda: bool(seen), "nobody was notified")
        assert seen == [at.supervisor.pids["service"]]
        assert seen != [first]


async def test_a_log_that_cannot_be_written_is_said_once_and_holds_nothing_up(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    (tmp_path / "talker.log").symlink_to("/dev/full")
    talks = "print('line ' * 20000, flush=True)\nprint('a last one', flush=True)\nopen(PATH, 'w')\n" + SLEEP
    async with bench(tmp_path) as at:
        await at.supervisor.start([anyone("talker", talks, ready="talker-has-talked")])
        await until(lambda: "a last one" in at.said, "its output was not shown")
    warning = f"the log {tmp_path / 'talker.log'} cannot be written: No space left on device; talker goes on without"
    assert at.said.count("cannot be written") == 1
    assert warning in at.said


async def test_an_operating_systems_error_on_the_way_up_is_a_sentence(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    def fill() -> None:
        raise OSError(28, "No space left on device", "/data/postgres")

    unit = Unit(spec=anyone("store").spec, prepare=fill)
    async with bench(tmp_path) as at:
        with pytest.raises(StartFailed) as failed:
            await at.supervisor.start([unit])
    assert str(failed.value) == "store cannot be started: No space left on device (/data/postgres)."


async def test_a_failure_quotes_this_start_alone_and_its_first_error_first(
    tmp_path: Path, anyone: Callable[..., Unit]
) -> None:
    (tmp_path / "service.log").write_text("FATAL: of another day\n")
    code = "print('begins')\nprint('error: of this start')\n" + "print('more')\n" * 30 + "raise SystemExit(1)"
    async with bench(tmp_path) as at:
        with pytest.raises(StartFailed) as failed:
            await at.supervisor.start([anyone("service", code, ready="never")])
    said = str(failed.value)
    assert "another day" not in said
    assert said.splitlines()[1] == "  error: of this start"
