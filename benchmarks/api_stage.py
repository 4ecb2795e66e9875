"""What the API benchmark runs on: PostgreSQL with usage of two sizes, Redis, a backend on each, a proxy, a peer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from benchmarks.stage import ROOT, Stage
from onebox import stores
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec

DAYS: Final = 90
PROJECTS: Final = 20
KEYS: Final = 10
COMMAND_SECONDS: Final = 60.0
FILL_SECONDS: Final = 900.0
# No reading is published here; a queue that nobody serves is in none of the timed requests.
_QUEUES: Final = {"USAGE_QUEUE_URL": "http://127.0.0.1:1/usage", "USAGE_DLQ_URL": "http://127.0.0.1:1/dead"}

# Requests spread evenly over 90 days that end now, project by project in turn, each with keys, paths and tags of its
# own; ids as proxies mint them, in the order of time.
_REQUESTS: Final = """
insert into usage_requests (request_id, day, started_ms, project_id, key_id, service, lane, path, tags, rank, seq,
    audio_ms, audio_source, channels, connection_ms, bytes_in, bytes_out, status, close_code)
select uuidv7(to_timestamp(ms / 1000.0) - clock_timestamp()), (to_timestamp(ms / 1000.0) at time zone 'utc')::date, ms,
    case n % {projects} when 0 then $1::uuid
        else ('01900000-0000-7000-8000-' || lpad((n % {projects})::text, 12, '0'))::uuid end,
    ('01900000-0000-7000-9000-' || lpad((n % {projects} * 100 + n / {projects} % {keys})::text, 12, '0'))::uuid,
    case when n % 7 = 0 then 'prerecorded' else 'streaming' end, 'live1',
    case n % 7 when 0 then '/transcribe' when 1 then '/v1/listen/pcm' else '/v1/listen' end,
    array['prod', 'customer-' || n % 1000], 2, 7, 30000 + n % 60000, 'stt', 1, 31000 + n % 60000, 1000000, 40000,
    case when n % 7 = 0 then 200 else 101 end, case when n % 7 = 0 then null when n % 50 = 1 then 1011 else 1000 end
from (select n, $2::bigint - ($3 - n) * ({days} * 86400000::bigint) / $3 as ms
    from generate_series(0::bigint, $3 - 1) as n) as numbered
"""
_ROLLUPS: Final = """
insert into usage_daily (project_id, day, key_id, service, endpoint, requests, audio_ms, connection_ms, bytes_in,
    bytes_out)
select project_id, day, key_id, service, endpoint, count(*), sum(audio_ms), sum(connection_ms), sum(bytes_in),
    sum(bytes_out)
from usage_requests group by project_id, day, key_id, service, endpoint
"""
_INDEXES: Final = """
select indexname, replace(indexdef, ' ON ONLY ', ' ON ') from pg_indexes
where tablename = 'usage_requests' and indexname not like '%pkey'
"""


@dataclass(frozen=True)
class Filled:
    """A database with usage, and the backend on it: its customer, and where both are."""

    database_url: str
    redis_url: str
    backend: Process
    port: int
    project_id: str
    key: str


class ApiStage(Stage):
    """The stage of the proxies (an upstream, Redis), with PostgreSQL beside them on the same core."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, upstream="sink")
        folder.chmod(0o711)  # PostgreSQL may run as a user of its own
        self.postgres = stores.Postgres(folder / "postgres" / "data", free_port())
        self.postgres.prepare()
        stack.enter_context(self._anywhere(self.postgres.spec()))
        self.postgres.create_database()
        self._databases = 0

    @contextmanager
    def _anywhere(self, spec: ProcessSpec) -> Iterator[Process]:
        process = Process(spec, log=self.folder / f"{spec.name}.log").start(COMMAND_SECONDS)
        try:
            yield process
        finally:
            process.stop()

    def pin(self) -> None:
        """From now on PostgreSQL shares the core of load and Redis; while tables are filled it may have all."""
        for process in psutil.process_iter(["name", "cmdline"]):
            if str(self.postgres.data) in (process.info["cmdline"] or ()):
                for each in (process, *process.children()):
                    each.cpu_affinity([int(self.other_core)])

    async def filled(self, rows: int, stack: ExitStack) -> Filled:
        """A database with so many requests and their rollups, and a backend on it that is ready."""
        self._databases += 1
        name = f"rows{rows}"
        url = self.postgres.url.removesuffix(self.postgres.database) + name
        owner = await asyncpg.connect(self.postgres.url, timeout=10)
        try:
            await owner.execute(f"create database {name}")
        finally:
            await owner.close()
        key_file = self.folder / f"{name}.key"
        self._command(url, "migrate")
        self._command(
            url, "bootstrap", "--email", "bench@example.com", "--password-stdin", "--unlimited",
            "--key-file", str(key_file), given="a password of the benchmark\n",
        )  # fmt: skip
        connection = await asyncpg.connect(url, timeout=10)
        try:
            project_id: str = await connection.fetchval("select project_id::text from projects")
            await _fill(connection, project_id, rows)
        finally:
            await connection.close()
        port = free_port()
        # A Redis database each: two backends would not agree on which keys there are.
        redis_url = f"{self.redis_url.removesuffix('/0')}/{self._databases}"
        environment = {
            **stores.AWS_ENV, **_QUEUES, "PYTHONPATH": f"{ROOT}/services:{ROOT}", "PORT": str(port),
            "DATABASE_URL": f"{url}?role=imp_backend", "DRAIN_SECONDS": "0",
            "REDIS_URL": redis_url,
        }  # fmt: skip
        spec = ProcessSpec(
            name=f"backend-{name}",
            argv=(sys.executable, "-m", "backend"),
            env=environment,
            ready=lambda: stores.http_ok(f"http://127.0.0.1:{port}/readyz"),
        )
        backend = stack.enter_context(self._process(spec, self.proxy_core))
        return Filled(url, redis_url, backend, port, project_id, key_file.read_text().strip())

    def _command(self, url: str, *arguments: str, given: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}/services", "DATABASE_URL": url, "LOG_LEVEL": "WARNING"}
        argv = (sys.executable, "-m", "backend", *arguments)
        subprocess.run(
            argv, env=environment, input=given.encode(), check=True, timeout=COMMAND_SECONDS, capture_output=True
        )

    @contextmanager
    def peer(self, database_url: str) -> Iterator[tuple[Process, int]]:
        """The bare handler, on the proxies' core."""
        port = free_port()
        argv = (sys.executable, "-m", "benchmarks.api_peers", str(port), database_url)
        with self._running("peer", self.proxy_core, argv, port, PYTHONPATH=f"{ROOT}/services:{ROOT}") as process:
            yield process, port

    @contextmanager
    def proxy_of(self, on: Filled) -> Iterator[int]:
        """The port of an http_proxy that shares Redis with that backend."""
        port = free_port()
        environment = {
            "PYTHONPATH": f"{ROOT}/services:{ROOT}", "PORT": str(port), "LANE": "bench", "DRAIN_SECONDS": "0",
            "STT_UPSTREAMS": f"http://127.0.0.1:{self.upstream_port}",
            "REDIS_URL": on.redis_url,
        }  # fmt: skip
        spec = ProcessSpec(
            name="http_proxy",
            argv=(sys.executable, "-m", "http_proxy"),
            env=environment,
            ready=lambda: port_accepts(port),
        )
        with self._process(spec, self.other_core):
            yield port


async def _fill(connection: "asyncpg.Connection[asyncpg.Record]", project_id: str, rows: int) -> None:
    for setting in ("synchronous_commit = off", "maintenance_work_mem = '512MB'", "work_mem = '256MB'"):
        await connection.execute(f"set {setting}")
    for month in range(4):
        await connection.execute(
            f"select make_usage_partition(((now() at time zone 'utc')::date - {month} * interval '1 month')::date)"
        )
    # Indexes are built behind the rows: a tenth of the time.
    indexes = await connection.fetch(_INDEXES)
    for name, _ in indexes:
        await connection.execute(f"drop index {name}")
    now_ms = round(await connection.fetchval("select extract(epoch from now()) * 1000"))
    requests = _REQUESTS.format(projects=PROJECTS, keys=KEYS, days=DAYS)
    await connection.execute(requests, project_id, now_ms, rows, timeout=FILL_SECONDS)
    await connection.execute(_ROLLUPS, timeout=FILL_SECONDS)
    for _, definition in indexes:
        await connection.execute(definition, timeout=FILL_SECONDS)
    await connection.execute("vacuum (analyze) usage_requests, usage_daily", timeout=FILL_SECONDS)
    await connection.execute("checkpoint", timeout=FILL_SECONDS)
