"""What the usage benchmark runs on: Redis, the queue, PostgreSQL, a publisher and an sqs_updater, and their costs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import asyncpg
import psutil
import redis.asyncio as redis

from aldea.ids import new_request_id
from aldea.redis.schema import USAGE_FIELD, USAGE_STREAM
from aldea.usage.reading import Rank, UsageReading
from benchmarks.stage import ROOT
from onebox import stores
from onebox.ports import free_port
from onebox.process import Process, ProcessSpec

PROJECT_ID: Final = "01900000-0000-7000-8000-000000000001"
KEYS: Final = tuple(f"01900000-0000-7000-8000-{number:012d}" for number in range(20))
PATHS: Final = ("/v1/listen", "/v1/listen/pcm", "/transcribe")
# Entries in one pipeline to Redis.
CHUNK: Final = 500
START_SECONDS: Final = 60.0
# The worker that a service's process runs its work in; `postgres` and `redis` are what stores.py calls theirs.
PUBLISHER, UPDATER, SQS, REDIS, POSTGRES = "publisher", "sqs_updater", "sqs", "redis", "postgres"


def missing() -> list[str]:
    """What this machine lacks for the benchmark, a sentence each; empty if nothing."""
    if sys.platform != "linux" or shutil.which("taskset") is None:
        return ["It needs Linux and 'taskset' (util-linux), to give PostgreSQL and each side a core of its own."]
    if len(os.sched_getaffinity(0)) < 2:
        return ["It needs two cores: one for PostgreSQL, one for who writes to it."]
    return []


def places(cores: Sequence[int]) -> dict[str, int]:
    """The core that each process has: PostgreSQL one for all its backends, who is measured another.

    Where there are too few, the stores share PostgreSQL's, and publisher and sqs_updater theirs.
    """
    last = len(cores) - 1
    redis_core = cores[3] if last >= 3 else cores[0]
    return {
        POSTGRES: cores[0],
        PUBLISHER: cores[1],
        UPDATER: cores[min(2, last)],
        REDIS: redis_core,
        SQS: cores[4] if last >= 4 else redis_core,
    }


def readings(count: int) -> list[UsageReading]:
    """So many requests that ended, each one reading: nothing can be coalesced, every one is a row."""
    found = []
    for number in range(count):
        request_id = new_request_id()
        found.append(
            UsageReading(
                request_id=request_id,
                started_ms=int(request_id.replace("-", "")[:12], 16),
                project_id=PROJECT_ID,
                key_id=KEYS[number % len(KEYS)],
                service="streaming",
                lane="live1",
                path=PATHS[number % len(PATHS)],
                tags=("benchmark",),
                rank=Rank.FINAL,
                seq=7,
                audio_ms=61_234,
                audio_source="stt",
                connection_ms=62_345,
                bytes_in=1_959_488,
                bytes_out=43_210,
                status=101,
                close_code=1000,
            )
        )
    return found


class UsageStage:
    """Everything, in `folder`, for the life of `stack`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        folder.chmod(0o711)  # PostgreSQL may run as a user of its own
        self._processes: dict[str, Process] = {}
        self.cores = places(sorted(os.sched_getaffinity(0)))
        self._metrics = {PUBLISHER: free_port(), UPDATER: free_port()}
        self.postgres = stores.Postgres(folder / "postgres" / "data", free_port())
        redis_port, sqs_port = free_port(), free_port()
        self.redis_url = stores.redis_url(redis_port)
        stack.enter_context(self._running(stores.redis_spec(folder / "redis", redis_port)))
        stack.enter_context(self._running(stores.sqs_spec(sqs_port)))
        self.postgres.prepare()
        stack.enter_context(self._running(self.postgres.spec()))
        self.postgres.create_database()
        stores.create_queues(sqs_port)
        environment = {
            **stores.AWS_ENV,
            "AWS_REGION": stores.AWS_ENV["AWS_DEFAULT_REGION"],
            "SQS_ENDPOINT_URL": stores.sqs_url(sqs_port),
            "USAGE_QUEUE_URL": stores.queue_url(sqs_port, stores.USAGE_QUEUE),
            "USAGE_DLQ_URL": stores.queue_url(sqs_port, stores.USAGE_DLQ),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis_url,
            "PYTHONPATH": f"{ROOT}/services:{ROOT}",
            "ENVIRONMENT": "bench",
            "LOG_LEVEL": "WARNING",
            # Where webhooks of `bench-alerts` are received.
            "ALLOW_LOOPBACK_URLS": "true",
        }
        migrate = (sys.executable, "-m", "backend", "migrate")
        subprocess.run(migrate, env={**os.environ, **environment}, check=True, timeout=START_SECONDS)
        for name, module in ((PUBLISHER, "backend"), (UPDATER, "sqs_updater")):
            port = free_port()
            ports = {"PORT": str(port), "METRICS_PORT": str(self._metrics[name])}
            spec = ProcessSpec(
                name=name,
                argv=(sys.executable, "-m", module),
                env={**environment, **ports},
                ready=lambda port=port: stores.http_ok(f"http://127.0.0.1:{port}/readyz"),  # type: ignore[misc]
            )
            stack.enter_context(self._running(spec))

    @contextmanager
    def _running(self, spec: ProcessSpec) -> Iterator[None]:
        pinned = replace(spec, argv=("taskset", "-c", str(self.cores[spec.name]), *spec.argv))
        process = Process(pinned, log=self.folder / f"{spec.name}.log").start(START_SECONDS)
        self._processes[spec.name] = process
        try:
            yield
        finally:
            process.kill()

    @contextmanager
    def held(self, *names: str) -> Iterator[None]:
        """These processes are paused meanwhile."""
        for name in names:
            os.killpg(self._processes[name].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for name in names:
                os.killpg(self._processes[name].pid, signal.SIGCONT)

    @contextmanager
    def beside(self, name: str) -> Iterator[None]:
        """This process itself runs on that one's core meanwhile."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.cores[name]})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time that each process and its children have taken."""
        found = {}
        for name, process in self._processes.items():
            root = psutil.Process(process.pid)
            times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
            found[name] = sum(float(one.user + one.system) for one in times)
        return found

    def sqs_requests(self) -> float:
        """Calls that publisher and sqs_updater have made to SQS, long polls that brought nothing included."""
        total = 0.0
        for name, metric in ((PUBLISHER, "publisher"), (UPDATER, "updater")):
            url = f"http://127.0.0.1:{self._metrics[name]}/metrics"
            with urllib.request.urlopen(url, timeout=5) as response:
                text = response.read().decode()
            found = re.search(rf"^aldea_usage_{metric}_sqs_requests_total (\S+)$", text, re.MULTILINE)
            total += float(found[1]) if found else 0.0
        return total


async def write(client: "redis.Redis", some: Sequence[UsageReading]) -> None:
    """Put readings on the stream as proxies do."""
    for start in range(0, len(some), CHUNK):
        async with client.pipeline(transaction=False) as pipe:
            for one in some[start : start + CHUNK]:
                pipe.xadd(USAGE_STREAM, {USAGE_FIELD: one.to_json()})
            await pipe.execute()


async def empty(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Forget all usage."""
    await connection.execute("truncate usage_requests, usage_daily")
    await connection.execute("checkpoint")


async def stored(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many requests are billed, by the rollups: few rows, so that looking costs nothing."""
    found: int = await connection.fetchval("select coalesce(sum(requests), 0)::bigint from usage_daily")
    return found
