"""A service's life: liveness, readiness, SIGTERM → drain → stop, the same for all of them."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
from aiohttp import web

from aldea import log as logs
from aldea import metrics
from aldea.service.middleware import contract_errors, stamp_response
from aldea.service.server import FIRST_REQUEST, ServiceRunner
from aldea.settings import ServiceSettings, read_or_exit
from aldea.standstill import Heart
from aldea.tasks import cancel, spawn
from aldea.tracing import spans

log = structlog.get_logger("aldea.service.lifecycle")

S = TypeVar("S", bound=ServiceSettings)
Check = Callable[[], Awaitable[None]]
RunnerFactory = Callable[[web.Application], web.BaseRunner]
DrainHook = Callable[["Lifecycle"], Awaitable[None]]

# Longer than the balancer's idle timeout (330 s): if the service closed first, the balancer would sometimes send
# a request into a closing connection and respond with 502.
KEEPALIVE_SECONDS: Final = 400.0
# A dependency that does not respond within this is not ready.
CHECK_SECONDS: Final = 2.0
# After the drain nothing worth waiting for is left; aiohttp's own shutdown gets this long.
SHUTDOWN_SECONDS: Final = 2.0
# How much longer than its deadline a drain hook may take before it is cancelled.
HOOK_GRACE_SECONDS: Final = 10.0
# What requests make is freed by reference counts; the collector is there for the few cycles among it. At the default
# of 700 it looks through what is kept on purpose (readings, connections) many times a second.
GC_THRESHOLD: Final = 10_000
# A burst of reconnecting clients waits in the kernel instead of being refused.
LISTEN_BACKLOG: Final = 1024


class NotReady(ConnectionError):
    """What a check of our own raises: a text that anybody may read, on whatever host the service is public."""


class Lifecycle:
    """Whether this process is draining, until when, and what it needs in order to be ready."""

    def __init__(self) -> None:
        self.draining = False
        self.reason = ""
        self._deadline: float | None = None  # event-loop time
        self._changed = asyncio.Event()
        self._checks: dict[str, Check] = {}
        self._failing: frozenset[str] = frozenset()
        self._hooks: list[DrainHook] = []
        self._drained: asyncio.Task[None] | None = None

    def ready_check(self, name: str, check: Check) -> None:
        """`/readyz` awaits `check`, which raises if the dependency called `name` is unusable.

        The text of a NotReady is shown to every caller, any other only in the log: it may name an address.
        """
        self._checks[name] = check

    def on_drain(self, hook: DrainHook) -> None:
        """`hook(lifecycle)` runs once when the drain begins and returns when its work is finished."""
        self._hooks.append(hook)

    def begin_drain(self, reason: str, seconds: float) -> None:
        """Start draining, to be finished within `seconds`. A later call can only shorten the deadline."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._deadline = deadline if self._deadline is None else min(self._deadline, deadline)
        self._changed.set()
        if not self.draining:
            self.draining, self.reason = True, reason
            log.info("drain begins", reason=reason, seconds=seconds)
            self._drained = spawn(self._run_hooks(), name="drain")

    async def deadline_reached(self, *, ahead: float = 0.0) -> None:
        """Return once draining has begun and its deadline is `ahead` seconds away or less."""
        loop = asyncio.get_running_loop()
        while self._deadline is None or loop.time() < self._deadline - ahead:
            self._changed.clear()
            timeout = None if self._deadline is None else max(0.0, self._deadline - ahead - loop.time())
            try:
                await asyncio.wait_for(self._changed.wait(), timeout)
            except TimeoutError:
                continue

    async def drained(self) -> None:
        """Wait until every drain hook has returned."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    async def end_drain(self) -> None:
        """Cancel the drain hooks that still run and wait for their end."""
        await cancel(self._drained)

    async def failing_checks(self) -> dict[str, str]:
        """The dependencies that are unusable now, each with a reason that anybody may read."""
        outcomes = await asyncio.gather(*(self._probe(name, check) for name, check in self._checks.items()))
        failing = {name: reason for name, reason in outcomes if reason is not None}
        if back := self._failing - failing.keys():
            log.info("dependencies usable again", dependencies=sorted(back))
        self._failing = frozenset(failing)
        return failing

    async def _probe(self, name: str, check: Check) -> tuple[str, str | None]:
        """A dependency's name and why it is unusable, None if it is not. Logged once, however often it is checked."""
        shown, cause = "unavailable; the service's log says why", ""
        try:
            await asyncio.wait_for(check(), CHECK_SECONDS)
        except TimeoutError:
            shown = cause = f"no response within {CHECK_SECONDS:g} s"
        except NotReady as error:
            shown = cause = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not usable
            cause = f"{type(error).__name__}: {error}"
        if not cause:
            return name, None
        if name not in self._failing:
            log.warning("dependency unavailable", dependency=name, reason=cause)
        return name, shown

    async def _run_hooks(self) -> None:
        # One hook's failure must not cut short what the others are finishing.
        for outcome in await asyncio.gather(*(hook(self) for hook in self._hooks), return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("drain hook failed", exc_info=outcome)
        log.info("drain finished")


LIFECYCLE: Final = web.AppKey("lifecycle", Lifecycle)


def new_app(*, client_max_size: int = 1 << 20) -> web.Application:
    """An application with the contract's error shape, `/healthz` and `/readyz`.

    `client_max_size`: bytes that `request.read()` and its kin accept.
    """
    app = web.Application(middlewares=[contract_errors], client_max_size=client_max_size)
    app[LIFECYCLE] = Lifecycle()
    app.on_response_prepare.append(stamp_response)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    return app


async def _healthz(request: web.Request) -> web.Response:
    """Liveness: the loop responds and the process is not draining. Never a dependency (see docs/architecture.md)."""
    lifecycle = request.app[LIFECYCLE]
    if lifecycle.draining:
        return web.json_response({"status": "draining", "reason": lifecycle.reason}, status=503)
    return web.json_response({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    """Readiness, for people and alarms: which dependency is unusable, and why."""
    lifecycle = request.app[LIFECYCLE]
    failing = await lifecycle.failing_checks()
    if lifecycle.draining:
        failing["service"] = "draining"
    if failing:
        return web.json_response({"status": "not ready", "failing": failing}, status=503)
    return web.json_response({"status": "ready"})


def app_runner(app: web.Application) -> web.BaseRunner:
    """How every service's application is run."""
    return ServiceRunner(
        app,
        handle_signals=False,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )


def run(
    name: str,
    settings_class: type[S],
    make_app: Callable[[S], web.Application],
    *,
    make_runner: RunnerFactory | None = None,
    arguments: Sequence[str] = (),
) -> None:
    """A service's whole `__main__`: read settings, wire, serve until SIGTERM or SIGINT, drain, stop.

    `arguments`: of the command line, which may request the help and nothing else.
    """
    if arguments:
        from aldea.settings_help import take_no_arguments  # noqa: PLC0415 - a service that serves needs no help

        take_no_arguments(name, settings_class, arguments)
    settings = read_or_exit(name, settings_class)
    logs.configure(name, settings.log_level, settings.environment)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            status = runner.run(serve(name, settings, make_app, make_runner=make_runner, started=_settle_heap))
    except Exception:  # through the log, which redacts: an unusable URL's text may hold a password
        log.exception("service failed")
        status = 1
    raise SystemExit(status)


def _settle_heap() -> None:
    """Take what the start has made out of the garbage collector's sight: it stays, and is most of the heap.

    Looking through it in every full collection would hold the event loop up by 30 ms and more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - absent on Windows
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve(
    name: str,
    settings: S,
    make_app: Callable[[S], web.Application],
    *,
    make_runner: RunnerFactory | None = None,
    started: Callable[[], None] = lambda: None,
) -> int:
    """Serve until a signal, then drain and stop. Returns the process's exit status.

    `started` is called once, when all is made and listens.
    """
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    if settings.otel_exporter_otlp_endpoint is not None:
        from aldea.tracing import otlp  # noqa: PLC0415 - only who exports pays for its start and its memory

        otlp.start(settings.service_name or name, settings.environment)
    app = make_app(settings)
    app[FIRST_REQUEST] = settings.first_request_seconds
    lifecycle = app[LIFECYCLE]
    runner = (make_runner or app_runner)(app)
    metrics_runner = app_runner(metrics.exposition_app())
    background: list[asyncio.Task[None]] = []
    heart = Heart(loop)
    try:
        await runner.setup()
        if not await _listen(name, runner, settings.bind_host, settings.port, "PORT"):
            return 1
        if settings.metrics_port is not None:
            await metrics_runner.setup()
            if not await _listen(name, metrics_runner, settings.bind_host, settings.metrics_port, "METRICS_PORT"):
                return 1
        background.append(spawn(metrics.watch_loop_lag(), name="loop-lag"))
        if settings.emf_metrics:
            background.append(spawn(metrics.emit_emf(settings.service_name or name, settings.environment), name="emf"))
        started()
        log.info("serving", host=settings.bind_host, port=runner.addresses[0][1])
        await stop.wait()
        await _drain(lifecycle, settings.drain_seconds, hurry)
    finally:
        await cancel(*background)
        await metrics_runner.cleanup()
        await runner.cleanup()
        await spans.close()
        heart.stop()
    log.info("stopped")
    return 0


async def _drain(lifecycle: Lifecycle, seconds: float, hurry: asyncio.Event) -> None:
    """Run the drain until its hooks return, a second signal comes, or a hook has overstayed its deadline."""
    lifecycle.begin_drain("signal", seconds)
    drained = spawn(lifecycle.drained(), name="await-drain")
    hurried = spawn(hurry.wait(), name="await-second-signal")
    # The hooks keep the deadline themselves; the grace on top guards against one that does not.
    timeout = seconds + HOOK_GRACE_SECONDS
    await asyncio.wait({drained, hurried}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        log.warning("drain cut short", reason="second signal" if hurry.is_set() else "hooks overstayed the deadline")
    await cancel(drained, hurried)
    await lifecycle.end_drain()


async def _listen(name: str, runner: web.BaseRunner, host: str, port: int, variable: str) -> bool:
    try:
        await web.TCPSite(runner, host, port, backlog=LISTEN_BACKLOG).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        print(  # noqa: T201 - a person at the terminal reads this
            f"{name}: cannot listen on {host}:{port}: {reason}. Stop what uses it, or set another {variable}.",
            file=sys.stderr,
        )
        return False
    return True
