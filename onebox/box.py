"""The onebox's life: take the folder, start everything, show the demo, stay or leave, stop everything."""

import asyncio
import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog

from aldea.log import redact_event
from aldea.tasks import cancel, spawn
from onebox import containers, given, redis_users, stores
from onebox.console import Console
from onebox.demo import SAMPLE, demo
from onebox.engine_kill import Engines
from onebox.home import BALANCER, ROOT, AlreadyRunning, Home, PortTaken
from onebox.output import Output, escapes_understood
from onebox.process import StartFailed
from onebox.supervisor import Supervisor, os_error
from onebox.units import (
    DEMO_EMAIL,
    PYTHONPATH,
    Plan,
    console_address,
    container_name,
    demo_key_file,
    demo_password,
    plan,
    steps,
    units,
)
from onebox.watch import restart_changed

# What shells report for a program ended by Ctrl-C: 128 + SIGINT.
INTERRUPTED: Final = 130
FAILED: Final = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was requested.

    `port`: the balancer's, None for the usual one, 0 for free ports everywhere. `images`: the tag of the images to run
    the services from, None for this checkout's code.
    """

    data: Path
    port: int | None
    stay: bool
    demo: bool
    json: bool
    verbose: bool
    images: str | None = None
    # Restart a service whose code changes.
    watch: bool = False
    # Serve /metrics, and look at them.
    observe: bool = False
    # How many times as fast as shipped the rules are that look at them.
    faster: int = 1
    # Make the queues that a given SQS endpoint lacks.
    create_queues: bool = False
    # Kill the STT server that has the demo's stream.
    kill_engine: bool = False


async def run(options: Options) -> int:
    """Run the onebox until it is done or gets a signal to stop. Returns the process's exit status."""
    console = Console(threshold="info" if options.verbose else "warning", stream=sys.stderr if options.json else None)
    _log_to_terminal()
    if options.observe and options.images is not None:
        console.fail("--observe serves /metrics of this checkout's processes, not of containers. Leave out --images.")
        return FAILED
    if options.kill_engine and (why := _cannot_kill(options)):
        console.fail(why)
        return FAILED
    try:
        home = Home(options.data)
        home.lock()
        chosen = plan(
            home,
            options.port,
            os.environ,
            options.images,
            two_engines=options.kill_engine,
            observed=options.observe,
            faster=options.faster,
        )
        home.clear_state()
    except (AlreadyRunning, PortTaken) as refusal:
        console.fail(str(refusal))
        return FAILED
    except OSError as error:
        console.fail(f"The folder {options.data} cannot be used: {os_error(error)}. Free it, or name another: --data")
        return FAILED

    if options.images is not None and (why := containers.missing(chosen.services, options.images)):
        console.fail(why)
        return FAILED

    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)

    # Nobody would see how it goes on.
    console.output.closed = stop.set
    supervisor = Supervisor(console, home.logs)
    working = spawn(_work(options, chosen, supervisor, console), name="onebox")
    stopping = spawn(stop.wait(), name="await-stop")
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ready = bool(home.state())
        status = working.result() if working.done() else (0 if options.stay and ready else INTERRUPTED)
    finally:
        await cancel(working, stopping)
        home.clear_state()
        if supervisor.began:
            await _stop(options, chosen, supervisor, console, stop, hurry)
        home.unlock()
    return status


async def _stop(
    options: Options, chosen: Plan, supervisor: Supervisor, console: Console, stop: asyncio.Event, hurry: asyncio.Event
) -> None:
    console.say()
    console.note("stopping everything" + (" (Ctrl-C again: at once)" if stop.is_set() else ""))
    began = time.monotonic()
    await supervisor.stop(hurry)
    if options.images is not None:
        # A client that had to be killed leaves its container behind.
        for name in chosen.services:
            with suppress(StartFailed):
                await asyncio.to_thread(containers.remove, container_name(chosen, name))
    console.step("everything has stopped", time.monotonic() - began)


def _log_to_terminal() -> None:
    """Records of the shared library (a failed task) for a person's eyes; tracebacks without local variables' values."""
    errors = Output(sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.format_exc_info,
            redact_event,
            structlog.dev.ConsoleRenderer(colors=escapes_understood(errors) and "NO_COLOR" not in os.environ),
        ],
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", errors)),
    )


async def _work(options: Options, chosen: Plan, supervisor: Supervisor, console: Console) -> int:
    began = time.monotonic()
    console.say(f"Starting the platform in {chosen.home.path}", style="bold")
    if not await _given_are_usable(options, chosen, console):
        return FAILED
    if "redis" in chosen.embedded and (less := redis_users.left_out(stores.redis_binary())):
        console.warn(less)
    try:
        await supervisor.start(units(chosen), steps(chosen, supervisor))
        supervisor.changed = lambda: chosen.home.write_state(_state(chosen, supervisor))
        supervisor.changed()
    except StartFailed as failure:
        console.fail(f"The platform did not start: {failure}")
        return FAILED
    except OSError as error:
        console.fail(f"The platform did not start: {os_error(error)}.")
        return FAILED
    console.step("the platform is up", time.monotonic() - began)
    key = demo_key_file(chosen.home).read_text().strip()
    address = f"http://127.0.0.1:{chosen.ports[BALANCER]}"
    if options.demo:
        engines = _engines(chosen, supervisor) if options.kill_engine else None
        right = await demo(address, key, chosen.database_url, console, as_json=options.json, engines=engines)
        if not options.stay or not right:
            return 0 if right else FAILED
    console.say()
    console.say(f"API       {address}   (hosts api.localhost, backend.localhost, platform.localhost)")
    console.say(f"docs      {address}/docs")
    # Directly: programs often cannot resolve backend.localhost (Python and Node leave that to the resolver).
    console.say(f"backend   {chosen.address('backend')}   (the whole Platform API: /v1/docs)")
    console.say(
        f"console   {console_address(chosen)}   (log in as {DEMO_EMAIL}, password {demo_password(chosen.home)})"
    )
    console.say(f"API key   in {demo_key_file(chosen.home)}")
    console.say(f"try       {try_line(address, demo_key_file(chosen.home))}")
    for name, what in (("observe", "figures"), ("prometheus", "rules"), ("grafana", "graphs")):
        if name in chosen.ports:
            console.say(f"{what:<10}{chosen.address(name)}")
    console.say("Ctrl-C stops everything.")
    console.threshold = "info"
    if options.watch:
        console.say("Watching services/: a service whose code changes is started again.")
        await restart_changed(chosen.services, supervisor.restart, console)
    await asyncio.Event().wait()
    return 0


def _cannot_kill(options: Options) -> str | None:
    """Why no STT server of this demo can be killed, if so."""
    if os.environ.get("STT_UPSTREAMS"):
        return "--kill-engine kills an embedded STT server, and STT_UPSTREAMS names others. Unset STT_UPSTREAMS."
    if options.images is not None:
        return "--kill-engine kills a process of this checkout, not a container. Leave out --images."
    return None


def _engines(chosen: Plan, supervisor: Supervisor) -> Engines:
    token = chosen.home.secret("stt")
    return Engines(chosen.engines, token, supervisor.kill, supervisor.logs / "ws_proxy.log")


async def _given_are_usable(options: Options, chosen: Plan, console: Console) -> bool:
    """Say what was found of each given store and STT server. False: one of them cannot be used."""
    found = await given.look(chosen.environment, create_queues=options.create_queues)
    for one in found:
        if one.usable:
            console.step(f"{one.variable}: {one.text}", one.seconds)
    unusable = [one for one in found if not one.usable]
    for one in unusable:
        console.fail(f"{one.variable}: {one.text}")
    if unusable:
        console.fail("Nothing was started.")
    return not unusable


def try_line(address: str, key_file: Path) -> str:
    """A command for a shell in any folder that streams the sample to this platform; the key stays in its file."""
    here = Path.cwd() == ROOT

    def path(of: Path) -> str:
        # Not resolved: .venv/bin/python is a link, and means the environment that it lies in.
        return shlex.quote(str(of.relative_to(ROOT) if here and of.is_relative_to(ROOT) else of))

    folders = PYTHONPATH if not here else "services:infra:."
    return (
        f"PYTHONPATH={shlex.quote(folders)} {path(Path(sys.executable))} -m onebox.stream {path(SAMPLE)} "
        f"--url {address} --key-file {path(key_file)}"
    )


def _state(chosen: Plan, supervisor: Supervisor) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "address": f"http://localhost:{chosen.ports[BALANCER]}",
        "backend": chosen.address("backend"),
        "ports": dict(chosen.ports),
        "pids": dict(supervisor.pids),
        "database_url": chosen.database_url,
    }
