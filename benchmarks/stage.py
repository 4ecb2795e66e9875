"""Stage: compiled load generator and upstream, Redis, and one proxy at a time beside them, each on its own core."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

import psutil
import redis

from aldea.credentials import mint_api_key
from aldea.redis.prices import schedule
from aldea.redis.schema import (
    KEYS_LOADED,
    TRANSCRIBE_SCOPE,
    AccountRecord,
    CredentialRecord,
    ProjectRecord,
    account_key,
    credential_key,
    prices_key,
    project_key,
)
from benchmarks.peers import nginx_config
from onebox import stores
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec

ROOT: Final = Path(__file__).resolve().parents[1]
PATH: Final = "/v1/listen?encoding=linear16&sample_rate=16000"
# Distributions put a server's binary where only root's PATH looks.
_PATH: Final = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
OURS, NGINX, MESSAGES, BARE = "ws_proxy", "nginx", "aiohttp", "no proxy"
# Ours without replay windows: then a stream ends with its STT server, as it does with the peers.
WITHOUT_WINDOWS: Final = "no windows"
# Ours without them as it was: of another checkout (`Stage.before`).
BEFORE: Final = "before"
PROJECT_ID: Final = "01900000-0000-7000-8000-000000000001"
KEY_ID: Final = "01900000-0000-7000-8000-000000000002"
ACCOUNT_ID: Final = "01900000-0000-7000-8000-000000000003"
# The longest that one run of the load generator may take.
RUN_SECONDS: Final = 600


def missing(*, nginx: bool = True) -> list[str]:
    """What this machine lacks for the benchmark, a sentence each; empty if nothing."""
    found = []
    if sys.platform != "linux" or shutil.which("taskset") is None:
        found.append("It needs Linux and 'taskset' (util-linux), to give each side a core of its own.")
    elif len(os.sched_getaffinity(0)) < 2:
        found.append("It needs two cores: one for the proxy, one for the load generator and the upstream.")
    if shutil.which("cc") is None:
        found.append("There is no C compiler ('cc'): install one (Debian: apt-get install gcc libc6-dev).")
    if nginx and nginx_path() is None:
        found.append("There is no nginx: install it (Debian: apt-get install nginx-light), or say --without-nginx.")
    return found


def nginx_path() -> str | None:
    """Where nginx's program is, if it is installed."""
    return shutil.which("nginx", path=_PATH)


def _compiled(folder: Path, name: str) -> Path:
    target = folder / name
    subprocess.run(
        ("cc", "-O2", "-o", str(target), str(ROOT / "benchmarks" / "load" / f"{name}.c")), check=True, timeout=120
    )
    return target


class Stage:
    """Everything around the proxies, in `folder`, for the life of `stack`."""

    def __init__(
        self, folder: Path, stack: ExitStack, *, upstream: str = "upstream", before: Path | None = None
    ) -> None:
        """`upstream`: the program in benchmarks/load that replaces the STT server. `before`: a checkout to compare."""
        self.before = before or ROOT
        self.folder = folder
        self.proxy_core, self.other_core = (str(core) for core in sorted(os.sched_getaffinity(0))[:2])
        self.upstream_port = free_port()
        self._upstream = str(_compiled(folder, upstream))
        argv = (self._upstream, str(self.upstream_port))
        stack.enter_context(self._running("upstream", self.other_core, argv, self.upstream_port))
        redis_port = free_port()
        stack.enter_context(self._process(stores.redis_spec(folder / "redis", redis_port), self.other_core))
        self.redis_url = stores.redis_url(redis_port)
        self.header = f"Authorization: Token {self._customer()}"

    @cached_property
    def load(self) -> Path:
        """The compiled load generator for streams."""
        return _compiled(self.folder, "load")

    def _customer(self) -> str:
        """A project without limits, and its key."""
        key = mint_api_key()
        credential = CredentialRecord(
            kind="key", state="active", project_id=PROJECT_ID, key_id=KEY_ID, scopes=frozenset({TRANSCRIBE_SCOPE})
        )
        project = ProjectRecord(
            state="active",
            requests_per_minute=None,
            concurrent_streams=None,
            monthly_audio_ms=None,
            account_id=ACCOUNT_ID,
        )
        # One that a benchmark does not use up, however fast it sends.
        account = AccountRecord(plan="prepaid", granted_micros=10**15, owed_micros=0)
        prices = dict.fromkeys(("streaming", "prerecorded"), schedule([(0, 360_000)]))
        with redis.Redis.from_url(self.redis_url) as store:
            store.hset(credential_key(key.sha256), mapping=dict[Any, Any](credential.to_hash()))
            store.hset(project_key(PROJECT_ID), mapping=dict[Any, Any](project.to_hash()))
            store.hset(account_key(ACCOUNT_ID), mapping=dict[Any, Any](account.to_hash()))
            store.hset(prices_key("prepaid"), mapping=dict[Any, Any](prices))
            store.set(KEYS_LOADED, "1")
        return key.text

    @contextmanager
    def _running(self, name: str, core: str, argv: tuple[str, ...], port: int, **env: str) -> Iterator[Process]:
        spec = ProcessSpec(name=name, argv=argv, env=env, ready=lambda: port_accepts(port))
        with self._process(spec, core) as process:
            yield process

    @contextmanager
    def _process(self, spec: ProcessSpec, core: str) -> Iterator[Process]:
        pinned = ProcessSpec(
            name=spec.name, argv=("taskset", "-c", core, *spec.argv), env=spec.env, cwd=spec.cwd, ready=spec.ready
        )
        process = Process(pinned, log=self.folder / f"{spec.name}.log").start()
        try:
            yield process
        finally:
            process.stop()

    @contextmanager
    def server(self) -> Iterator[tuple[Process, int]]:
        """An upstream more, which may be lost; with its port."""
        port = free_port()
        with self._running(f"upstream-{port}", self.other_core, (self._upstream, str(port)), port) as process:
            yield process, port
            process.kill()  # stopped it would not end by itself

    @contextmanager
    def proxy(
        self,
        name: str,
        *,
        upstreams: Sequence[int] = (),
        profile: Path | None = None,
        stalls: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator["Proxy"]:
        """One of the proxies, or none (`no proxy`).

        `upstreams`: the ports of ours, if not the only one. `profile`, `stalls`: where ws_proxy's are to be written.
        `settings`: more of ws_proxy's.
        """
        if name == BARE:
            yield Proxy(self, self.upstream_port, None)
            return
        port = free_port()
        upstream = str(self.upstream_port)
        root = self.before.resolve() if name == BEFORE else ROOT
        env = {"PYTHONPATH": f"{root}/services:{root}"}
        if name == NGINX:
            config = nginx_config(self.folder, port, self.upstream_port)
            argv: tuple[str, ...] = (nginx_path() or "nginx", "-c", str(config), "-p", str(self.folder))
        elif name == MESSAGES:
            argv = (sys.executable, "-m", "benchmarks.peers", str(port), upstream)
        else:
            profiled = () if profile is None else ("-m", "cProfile", "-o", str(profile))
            module = ("ws_proxy",) if stalls is None else ("benchmarks.stalls", str(stalls))
            argv = (sys.executable, *profiled, "-m", *module)
            env |= {
                "PORT": str(port),
                "REDIS_URL": self.redis_url,
                "STT_UPSTREAMS": ",".join(f"http://127.0.0.1:{port}" for port in upstreams or (upstream,)),
                "LANE": "bench",
                "DRAIN_SECONDS": "0",
                **({"REPLAY_SECONDS": "0"} if name in (WITHOUT_WINDOWS, BEFORE) else {}),
                **settings,
            }
        with self._running(name, self.proxy_core, argv, port, **env) as process:
            yield Proxy(self, port, process)


class Proxy:
    """A running proxy, or the upstream itself, and the load that it is put under."""

    def __init__(self, stage: Stage, port: int, process: Process | None) -> None:
        self._stage = stage
        self.port = port
        self._process = process

    def _workers(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        root = psutil.Process(self._process.pid)
        return root.children(recursive=True) or [root]

    def resident(self) -> int:
        """Resident bytes."""
        return sum(int(worker.memory_info().rss) for worker in self._workers())

    def _cpu(self) -> tuple[float, float]:
        times = [worker.cpu_times() for worker in self._workers()]
        return sum(float(found.user) for found in times), sum(float(found.system) for found in times)

    def _cpu_ns(self) -> int:
        """Nanoseconds that all threads ran (schedstat): the ticks of `_cpu` are too coarse for a short round."""
        return sum(
            int(thread.read_text().split()[0])
            for worker in self._workers()
            for thread in Path(f"/proc/{worker.pid}/task").glob("*/schedstat")
        )

    def cpu_seconds(self) -> float:
        """Processor time since it began."""
        return self._cpu_ns() / 1e9

    def _argv(self, mode: str, connections: int, amount: int) -> tuple[str, ...]:
        stage = self._stage
        pinned = ("taskset", "-c", stage.other_core, str(stage.load))
        return (*pinned, str(self.port), mode, str(connections), str(amount), PATH, stage.header)

    def run(
        self, mode: str, connections: int, amount: int, *, meanwhile: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """Run the load generator; what it says, and the seconds of processor time that the proxy took meanwhile.

        `meanwhile`: called once it runs.
        """
        user, system = self._cpu()
        with subprocess.Popen(
            self._argv(mode, connections, amount), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child:
            meanwhile()
            said, faults = child.communicate(timeout=RUN_SECONDS)
        if child.returncode:
            raise SystemExit(f"the load generator failed ({mode}): {said}{faults[-500:]}")
        found: dict[str, float] = json.loads(said)
        user_after, system_after = self._cpu()
        return {**found, "cpu_user_s": user_after - user, "cpu_system_s": system_after - system}

    @contextmanager
    def held(self, streams: int) -> Iterator[None]:
        """Streams that stay open, each after one frame and its result."""
        with self._opened("hold", streams):
            yield

    @contextmanager
    def turns(self, streams: int) -> Iterator[Callable[[int], float]]:
        """Streams that stay open, and what to call for each of many rounds.

        It takes the milliseconds for which each stream sends a frame as soon as its last one's result is there, and
        returns the microseconds of processor time that the proxy took for a frame and its result.
        """
        with self._opened("turns", streams) as (say, hear):

            def turn(milliseconds: int) -> float:
                before = self._cpu_ns()
                print(milliseconds, file=say, flush=True)
                messages = int(hear.readline())
                return (self._cpu_ns() - before) / messages / 1000

            yield turn

    @contextmanager
    def _opened(self, mode: str, streams: int) -> Iterator[tuple[IO[str], IO[str]]]:
        """The load generator with all streams open: its standard input and output."""
        with subprocess.Popen(
            self._argv(mode, streams, 0), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            if child.stdout.readline().strip() != "open":
                raise SystemExit("the load generator could not open its streams")
            yield child.stdin, child.stdout
            child.stdin.close()
