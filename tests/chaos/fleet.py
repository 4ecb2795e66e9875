"""The platform's processes, each the real one, and what may be done to them: killed, paused, restarted."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
from redis.exceptions import RedisError

from onebox import stores
from onebox.ports import free_port, port_accepts
from onebox.process import Process, ProcessSpec, StartFailed
from tests.chaos.book import Book
from tests.chaos.plan import ENGINES, MISBEHAVIOUR, Fault, Scale
from tests.chaos.wire import Wire
from tests.support.failover import Pair
from tests.support.proxies import ROOT, service_spec

START_SECONDS: Final = 120.0
# A drain of a proxy closes its streams at once when less than this remains; nobody waits for longer here.
DRAIN_SECONDS: Final = 5.0
STOP_SECONDS: Final = 60.0
LANE: Final = "chaos"
# What a primary confirms for so long after the promotion of the other one is lost.
LONGEST_LOSS: Final = 0.3
# Receivers refuse and are cut off all the time here, and are tried again at once.
CALLBACKS: Final = {
    "ALLOW_LOOPBACK_URLS": "true",
    "CALLBACK_RETRIES": "1000",
    "CALLBACK_RETRY_SECONDS": "0.5",
    "CALLBACK_ATTEMPT_SECONDS": "3",
}
# The receiver of alerts is on this machine, too.
WEBHOOKS: Final = {"ALLOW_LOOPBACK_URLS": "true"}
# Both STT servers may be gone at once for as long as two faults last. Audio comes many times faster than it is spoken.
UNBROKEN: Final = {"FAILOVER_HOLD_SECONDS": "60", "REPLAY_SECONDS": "120"}
HAD_TO_BE_KILLED: Final = " (had to be killed)"


@dataclass(slots=True)
class Unit:
    """A process and whether a fault has it in hand."""

    process: Process
    busy: bool = False


class Fleet:
    """Everything that runs."""

    def __init__(self, folder: Path, scale: Scale, wire: Wire, book: Book) -> None:
        self._folder = folder
        self._scale = scale
        self._wire = wire
        self._book = book
        self.units: dict[str, Unit] = {}
        self.ports: dict[str, int] = {}
        self.key = ""
        self.redis = Pair(folder)
        self.postgres = stores.Postgres(folder / "postgres" / "data", free_port())
        self._queues: dict[str, str] = {}

    @property
    def redis_url(self) -> str:
        """Redis, by the name that leads to whichever of the two is the primary."""
        return self.redis.url

    @property
    def proxies(self) -> dict[str, list[str]]:
        """Names of the proxies by what they carry."""
        names = list(self.units)
        return {
            "stream": [name for name in names if name.startswith("ws_proxy")],
            "upload": [name for name in names if name.startswith("http_proxy")],
        }

    async def start(self) -> None:
        """Stores, schema, a key without limits, services. Raises StartFailed."""
        await self._start_stores()
        key_file = self._folder / "key"
        await self._command("migrate")
        await self._command(
            *("bootstrap", "--email", "chaos@example.com", "--password-stdin", "--unlimited"),
            *("--key-file", str(key_file)),
            given="a sentence that nobody would guess\n",
        )
        self.key = key_file.read_text().strip()
        specs = list(self._services())
        for spec in specs:
            self._launch(spec)
        await asyncio.gather(*(self._ready(self.units[spec.name]) for spec in specs))

    async def _start_stores(self) -> None:
        self.ports |= {name: free_port() for name in ("sqs", "wire", *ENGINES)}
        for spec in self.redis.specs():
            self._launch(spec)
        self._launch(stores.sqs_spec(self.ports["sqs"], state=self._folder / "sqs"))
        for name in ENGINES:
            self._launch(
                ProcessSpec(
                    name=name,
                    argv=(sys.executable, "-m", "tests.chaos.engine", str(self.ports[name])),
                    env={"PYTHONPATH": f"{ROOT}/services:{ROOT}"},
                    ready=lambda name=name: port_accepts(self.ports[name]),  # type: ignore[misc]
                )
            )
        await asyncio.to_thread(self.postgres.prepare)
        self._launch(self.postgres.spec())
        await asyncio.gather(*(self._ready(unit) for unit in self.units.values()))
        await self.redis.join()
        await asyncio.to_thread(self.postgres.create_database)
        await asyncio.to_thread(stores.create_queues, self.ports["sqs"])
        await self._wire.start(stores.sqs_url(self.ports["sqs"]), self.ports["wire"])
        names = {"USAGE_QUEUE_URL": stores.USAGE_QUEUE, "USAGE_DLQ_URL": stores.USAGE_DLQ}
        self._queues = {
            **stores.AWS_ENV,
            "AWS_REGION": stores.AWS_ENV["AWS_DEFAULT_REGION"],
            "SQS_ENDPOINT_URL": self._wire.url,
            **{variable: stores.queue_url(self.ports["wire"], name) for variable, name in names.items()},
        }

    async def _command(self, *arguments: str, given: str = "") -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend", *arguments),
            env={**os.environ, "PYTHONPATH": f"{ROOT}/services", "DATABASE_URL": self.postgres.url},
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(START_SECONDS):
            _, said = await process.communicate(given.encode())
        if process.returncode:
            raise StartFailed(f"backend {arguments[0]} failed: {said.decode(errors='replace')}")

    def _services(self) -> Iterator[ProcessSpec]:
        scale = self._scale
        common = {
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
            "LEASE_TTL_SECONDS": str(scale.lease_ttl),
            "RENEW_SECONDS": str(scale.renew),
            "ENVIRONMENT": "chaos",
        }
        redis = {"REDIS_URL": self.redis_url}
        database = {"DATABASE_URL": self.postgres.url}
        stt = {"STT_UPSTREAMS": ",".join(map(self._engine_url, ENGINES)), "LANE": LANE}
        claim = {"USAGE_CLAIM_SECONDS": str(2 * scale.lease_ttl)}
        visibility = {"VISIBILITY_SECONDS": str(max(2, round(scale.lease_ttl)))}
        kinds: list[tuple[str, int, dict[str, str]]] = [
            ("ws_proxy", scale.ws_proxies, {**redis, **stt, **UNBROKEN}),
            ("http_proxy", scale.http_proxies, {**redis, **stt, **CALLBACKS}),
            ("backend", scale.backends, {**redis, **database, **self._queues, **claim, **WEBHOOKS}),
            ("sqs_updater", scale.updaters, {**database, **self._queues, **visibility}),
        ]
        for module, count, env in kinds:
            for number in range(1, count + 1):
                name = f"{module}-{number}"
                self.ports[name] = free_port()
                yield replace(service_spec(module, self.ports[name], **common, **env), name=name)

    def _engine_url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    async def _misbehave(self, name: str, kind: str) -> None:
        async with aiohttp.ClientSession() as session, session.post(f"{self._engine_url(name)}/fault?kind={kind}"):
            pass

    def _launch(self, spec: ProcessSpec) -> None:
        # In the main thread: a child dies with the thread that started it.
        process = Process(spec, log=self._folder / f"{spec.name}.log")
        process.launch()
        self.units[spec.name] = Unit(process)

    async def _ready(self, unit: Unit) -> None:
        async with asyncio.timeout(START_SECONDS):
            while not await asyncio.to_thread(unit.process.spec.ready):
                if not unit.process.running:
                    raise StartFailed(f"{unit.process.spec.name} ended while starting.{unit.process.tail()}")
                await asyncio.sleep(0.05)

    async def strike(self, fault: Fault) -> str:
        """Do what the fault says and undo it. Returns what was done, for the report."""
        if fault.kind == "fail over":
            return await self._fail_over(fault)
        unit = self.units[fault.target]
        if unit.busy:
            return "skipped: its target was in another fault's hands"
        done = f"{fault.kind} {fault.target.partition('-')[0]}"
        with self._in_hand(unit):
            match fault.kind:
                case "cut":
                    self._wire.sever()
                    await asyncio.sleep(fault.lasts)
                    self._wire.restore()
                case "pause":
                    os.killpg(unit.process.pid, signal.SIGSTOP)
                    await asyncio.sleep(fault.lasts)
                    os.killpg(unit.process.pid, signal.SIGCONT)
                case "kill":
                    unit.process.kill()
                    self._book.killed(fault.target, time.monotonic())
                    await asyncio.sleep(fault.lasts)
                    await self._start_again(unit)
                case "restart":
                    self._book.stopped(fault.target, time.monotonic())
                    status = await asyncio.to_thread(unit.process.stop, STOP_SECONDS)
                    if status is not None and status < 0:  # it did not end by itself within STOP_SECONDS
                        self._book.killed(fault.target, time.monotonic())
                        done += HAD_TO_BE_KILLED
                    await self._start_again(unit)
                case kind if kind in MISBEHAVIOUR:
                    await self._misbehave(fault.target, kind)
                    if kind == "full":
                        await asyncio.sleep(fault.lasts)
                        await self._misbehave(fault.target, "room")
        return done

    async def _fail_over(self, fault: Fault) -> str:
        both = [self.units["redis-1"], self.units["redis-2"]]
        if any(unit.busy for unit in both):
            return "skipped: its target was in another fault's hands"
        with self._in_hand(both[0]), self._in_hand(both[1]):
            remembered = self._book.remembered()
            await self.redis.fail_over(min(fault.lasts, LONGEST_LOSS))
            self._book.forget_since(remembered)
        return "fail over redis"

    @contextmanager
    def _in_hand(self, unit: Unit) -> Iterator[None]:
        unit.busy = True
        try:
            yield
        finally:
            unit.busy = False

    async def _start_again(self, unit: Unit) -> None:
        unit.process.launch()
        await self._ready(unit)
        if unit is self.units.get(f"redis-{self.redis.replica + 1}"):
            await self._follow()  # the process that knew its primary has ended

    async def _follow(self) -> None:
        """Let the replica follow its primary, which another fault may end or pause just then: as often as it takes."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await self.redis.follow()
                except (RedisError, OSError):
                    await asyncio.sleep(0.05)
                else:
                    return

    def ended_by_themselves(self) -> list[str]:
        """Processes that ended although nothing was done to them."""
        return [name for name, unit in self.units.items() if not unit.busy and not unit.process.running]

    def stop(self) -> None:
        """End everything, services first."""
        for unit in reversed(self.units.values()):
            unit.process.kill()
