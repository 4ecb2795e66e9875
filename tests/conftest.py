"""What every test may use: real stores on free ports, and a guard against leaked tasks."""

import asyncio
import gc
import inspect
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis.asyncio as redis
import structlog
from hypothesis import HealthCheck, settings

from aldea import standstill
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process
from tests import collection
from tests.schedule import GroupScheduling, group_of
from tests.turns import OF_THIS_MACHINE

# Property tests look for wrong results. How long one takes depends on what else the machine does just then.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# What the data of a session's stores and platforms may need, several times over.
MEMORY_BYTES = 4 * 1024**3
# A process of tests has lost time before its first test begins: whoever takes the loop's time for lived time, or the
# other way round, fails each time, and not only on a machine that was busy for a moment.
LOST_SECONDS = 1000.0
# Tests that reckon in days and months are not about the moment at which one follows the other: none begins so short a
# time before midnight (UTC).
MIDNIGHT_SECONDS = 30.0
# How long a task that was cancelled may take to end.
CANCELLED_SECONDS = 10.0
# What their folders are called; the session's process id follows.
DATA_PREFIX = "aldea-tests-"


@pytest.fixture(autouse=True)
def _time_lost_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill._Lost, "seconds", LOST_SECONDS)


def pytest_configure(config: pytest.Config) -> None:
    """Several processes do not compile the same file at the same moment."""
    collection.spread(config)


@pytest.hookimpl(tryfirst=True)  # before fixtures that are shared bring tests together
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Wherever a process began, the tests are in one order."""
    collection.in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """How the tests are spread over several processes."""
    return GroupScheduling(config, log)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes that are no text name no test: packed ones hold the time, and all processes must agree on the names."""
    if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()):
        return "bytes"
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the test's time begins to run
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Each group of tests waits for its turn where several clones are tested at once, each test past midnight."""
    OF_THIS_MACHINE.take()
    if (left := 86_400 - time.time() % 86_400) < MIDNIGHT_SECONDS:
        time.sleep(left)
    try:
        return (yield)
    finally:
        if nextitem is None or group_of(nextitem.nodeid) != group_of(item.nodeid):
            OF_THIS_MACHINE.give_back()
            _look_at_what_is_new()


def pytest_sessionstart() -> None:
    """Nothing that is loaded becomes garbage: looking for some is a fifth of the time that collecting tests takes."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is loaded by now stays."""
    _look_at_what_is_new()
    gc.enable()


def _look_at_what_is_new() -> None:
    """Collect what is garbage now, and never look through the rest again: modules and shared fixtures, which stay.

    Without it each full collection of a long session takes a quarter of a second, and some tests ask for hundreds.
    """
    gc.collect()
    gc.freeze()


def _roomy_memory() -> Path | None:
    """A file system in memory, where one has room: a test's database is 700 files, which a disk takes its time for."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        return None
    _remove_what_killed_sessions_left(memory)
    return memory if shutil.disk_usage(memory).free >= MEMORY_BYTES else None


def _remove_what_killed_sessions_left(memory: Path) -> None:
    """Nothing else would give the memory back."""
    for left in memory.glob(f"{DATA_PREFIX}*"):
        owner = left.name.removeprefix(DATA_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """A folder for the stores' data, removed after the session.

    Not pytest's own: PostgreSQL runs as a user of its own where the tests run as root, and pytest closes its folder
    to other users whenever a session starts, another clone's included.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{DATA_PREFIX}{os.getpid()}-", dir=_roomy_memory()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def no_cloud() -> Iterator[None]:
    """AWS credentials that are good nowhere, so that no client looks for others: in files, or beyond this machine."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in stores.AWS_ENV.items():
            environment.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A real Redis for the session; `redis_url` empties it for each test."""
    port = free_port()
    data = tmp_path_factory.mktemp("redis")
    process = Process(stores.redis_spec(data, port), log=data / "log").start()
    process.url = stores.redis_url(port)  # type: ignore[attr-defined]
    yield process
    process.stop()


@pytest.fixture
async def redis_url(redis_server: Process) -> str:
    """The URL of an emptied Redis."""
    url: str = redis_server.url  # type: ignore[attr-defined]
    async with redis.from_url(url) as client:
        await client.flushall()
    return url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator["redis.Redis"]:
    """A plain client of the emptied Redis, values as text."""
    async with redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def postgres_server(data_folder: Path) -> Iterator[stores.Postgres]:
    """A real PostgreSQL for the session, with an empty database."""
    data = data_folder / "postgres" / "data"
    server = stores.Postgres(data, free_port())
    server.prepare()
    spec = server.spec()
    # Nothing here need outlive the machine, and a killed PostgreSQL loses nothing by it.
    spec = replace(spec, argv=(*spec.argv, "-c", "fsync=off", "-c", "full_page_writes=off"))
    process = Process(spec, log=data.parent / "log").start()
    server.create_database()
    yield server
    process.stop()


@pytest.fixture(scope="session")
def sqs_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real SQS wire for the session: the endpoint's URL."""
    port = free_port()
    process = Process(stores.sqs_spec(port), log=tmp_path_factory.mktemp("sqs") / "log").start()
    yield stores.sqs_url(port)
    process.stop()


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test configures of logging, itself or by a service's `main`, ends with it.

    Nor does a module's logger keep it: structlog's own memory of it is for the life of a process.
    """
    root, configure = logging.getLogger(), structlog.configure
    before = root.handlers[:], root.level
    monkeypatch.setattr(
        structlog, "configure", lambda **settings: configure(**{**settings, "cache_logger_on_first_use": False})
    )
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest) -> None:
    """Every asynchronous test is guarded against leaked tasks."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("task_guard")


@pytest.fixture
async def task_guard() -> AsyncIterator[None]:
    """A test that leaves a task running has failed."""
    before = asyncio.all_tasks()
    yield
    # A task that was just cancelled may need a few turns of the loop, and on a busy machine time to close what it has.
    deadline, turns = time.monotonic() + CANCELLED_SECONDS, 20
    while leaked := {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}:
        turns -= 1
        if time.monotonic() > deadline or (turns < 0 and not all(task.cancelling() for task in leaked)):
            break
        await asyncio.sleep(0.01)
    else:
        return
    names = sorted(task.get_name() + ": " + repr(task.get_coro()) for task in leaked)
    pytest.fail(f"tasks left running: {names}")
