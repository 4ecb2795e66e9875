"""The onebox's command line: `run`, `demo` and `status`."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from onebox.box import INTERRUPTED, Options, run
from onebox.console import Console
from onebox.containers import LOCAL_TAG
from onebox.home import DEFAULT_HOME, Home
from onebox.observe.faster import MOST
from onebox.ports import LAST_PORT

# What argparse itself ends with.
USAGE: Final = 2


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say; the process's exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "status":
        return _status(chosen.data, as_json=chosen.json)
    try:
        wanted = port(chosen.port) if chosen.port is not None else None
    except ValueError as error:
        Console(stream=sys.stderr).fail(str(error))
        return USAGE
    options = Options(
        data=chosen.data,
        port=wanted,
        stay=chosen.command == "run",
        demo=chosen.command == "demo" or not chosen.no_demo,
        json=chosen.command == "demo" and chosen.json,
        verbose=chosen.verbose,
        images=chosen.images,
        watch=chosen.command == "run" and chosen.watch,
        observe=chosen.command == "run" and chosen.observe,
        faster=chosen.faster if chosen.command == "run" else 1,
        create_queues=chosen.create_queues,
        kill_engine=chosen.command == "demo" and chosen.kill_engine,
    )
    try:
        return asyncio.run(run(options))
    except KeyboardInterrupt:  # when the loop has given up its handlers: all has been stopped already
        return INTERRUPTED
    finally:
        # Nothing is left to be stopped, and the interpreter's own end would be cut short with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def port(text: str) -> int:
    """A port as a person gives it, by --port or ONEBOX_PORT. Raises ValueError with a sentence for them."""
    given = text.strip()
    if not (given.isascii() and given.lstrip("+-").isdecimal()):
        fault = "is no number"
    elif 0 <= int(given[:20]) <= LAST_PORT:
        return int(given)
    else:
        fault = "is out of range"
    raise ValueError(
        f"The port {text!r:.40} {fault}; allowed: 1 to {LAST_PORT}, or 0 for free ports everywhere. "
        "Choose another one: ONEBOX_PORT=8090 make run"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onebox", description="The whole platform on one machine.")
    parser.add_argument("--data", type=Path, default=DEFAULT_HOME, help="folder of data and logs (default: .onebox)")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="start everything, show words and a bill, stay up until Ctrl-C")
    running.add_argument("--no-demo", action="store_true", help="only start everything")
    running.add_argument(
        "--observe",
        action="store_true",
        help="serve /metrics and a page of figures; Prometheus and Grafana if installed",
    )
    running.add_argument(
        "--faster",
        type=int,
        choices=range(1, MOST + 1),
        default=1,
        metavar=f"1..{MOST}",
        help="with --observe: divide every time of Prometheus' rules by this, for an exercise",
    )
    running.add_argument("--watch", action="store_true", help="start a service again when its code changes")
    showing = commands.add_parser("demo", help="the same, then stop; status 0 only if words and bill are right")
    showing.add_argument("--json", action="store_true", help="print the outcome as JSON; progress goes to stderr")
    showing.add_argument(
        "--kill-engine",
        action="store_true",
        help="run two STT servers, and kill the one that has the stream in the middle of it",
    )
    for command in (running, showing):
        command.add_argument("--verbose", action="store_true", help="show the services' log lines from the start")
        command.add_argument(
            "--images", nargs="?", const=LOCAL_TAG, metavar="TAG",
            help="run the services from their container images (default tag: local)",
        )  # fmt: skip
        command.add_argument(
            "--port",
            default=os.environ.get("ONEBOX_PORT") or None,
            help="the balancer's port (default: 8080, or ONEBOX_PORT; 0: free ports for everything)",
        )
        command.add_argument(
            "--create-queues",
            action="store_true",
            help="make the usage queues at the given SQS_ENDPOINT_URL, if they are not there",
        )
    status = commands.add_parser("status", help="say whether it runs, and where")
    status.add_argument("--json", action="store_true", help="print all that is known as JSON")
    return parser


def _status(data: Path, *, as_json: bool) -> int:
    console = Console()
    if not data.is_dir():  # looking at it makes nothing
        pid, state = None, {}
    else:
        home = Home(data)
        pid = home.running_pid()
        state = home.state() if pid else {}
    if as_json:
        console.output.write(json.dumps(state, indent=2) + "\n")
        console.output.flush()
    elif pid is None:
        console.say("The onebox does not run. Start it with `make run`.")
    else:
        address = state.get("address")
        console.say(f"The onebox runs (process {pid}) " + (f"on {address}" if address else "and is just starting"))
    return 0 if pid else 1
