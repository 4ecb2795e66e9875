"""`python -m onebox run | demo | status`: the whole platform on this machine."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from onebox.box import Options, run
from onebox.console import Console
from onebox.containers import LOCAL_TAG
from onebox.home import DEFAULT_HOME, Home


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say; the process's exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "status":
        return _status(Home(chosen.data), as_json=chosen.json)
    options = Options(
        data=chosen.data,
        port=chosen.port,
        stay=chosen.command == "run",
        demo=chosen.command == "demo" or not chosen.no_demo,
        json=chosen.command == "demo" and chosen.json,
        verbose=chosen.verbose,
        images=chosen.images,
        watch=chosen.command == "run" and chosen.watch,
    )
    return asyncio.run(run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m onebox", description="The whole platform on one machine.")
    parser.add_argument("--data", type=Path, default=DEFAULT_HOME, help="folder of data and logs (default: .onebox)")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="start everything, show words and a bill, stay up until Ctrl-C")
    running.add_argument("--no-demo", action="store_true", help="only start everything")
    running.add_argument("--watch", action="store_true", help="start a service again when its code changes")
    showing = commands.add_parser("demo", help="the same, then stop; status 0 only if words and bill are right")
    showing.add_argument("--json", action="store_true", help="print the outcome as JSON; progress goes to stderr")
    for command in (running, showing):
        command.add_argument("--verbose", action="store_true", help="show the services' log lines from the start")
        command.add_argument(
            "--images", nargs="?", const=LOCAL_TAG, metavar="TAG",
            help="run the services from their container images (default tag: local)",
        )  # fmt: skip
        command.add_argument(
            "--port",
            type=int,
            default=os.environ.get("ONEBOX_PORT"),
            help="the balancer's port (default: 8080, or ONEBOX_PORT; 0: free ports for everything)",
        )
    status = commands.add_parser("status", help="say whether it runs, and where")
    status.add_argument("--json", action="store_true", help="print all that is known as JSON")
    return parser


def _status(home: Home, *, as_json: bool) -> int:
    pid = home.running_pid()
    state = home.state() if pid else {}
    if as_json:
        print(json.dumps(state, indent=2))
    elif pid is None:
        Console().say("The onebox does not run. Start it with `make run`.")
    else:
        address = state.get("address")
        Console().say(f"The onebox runs (process {pid}) " + (f"on {address}" if address else "and is just starting"))
    return 0 if pid else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
