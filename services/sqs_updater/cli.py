"""The worker's command line: consume (the default), or replay the dead-letter queue.

    python -m sqs_updater                              serve, with the environment's settings
    python -m sqs_updater replay [--json] [--limit N]  send what lies in the dead-letter queue through once more

`replay` needs AWS_REGION, USAGE_QUEUE_URL and USAGE_DLQ_URL. Each readable reading goes back to the usage queue in a
message of its own; what is unreadable stays in the dead-letter queue with its reason. It may be run again at any time:
a reading that arrives twice counts once. Progress goes to standard error, the outcome to standard output.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from aldea import log as logs
from aldea import sqs
from aldea.service import lifecycle
from aldea.settings import read_or_exit
from aldea.settings_help import settings_help
from sqs_updater.app import make_app
from sqs_updater.replay import Replayed, replay
from sqs_updater.settings import ReplaySettings, Settings

FAILED: Final = 1
# A person watches: a line now and then, not one for each message.
PROGRESS_SECONDS: Final = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; the process's exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command in {None, "consume"}:
        lifecycle.run("sqs_updater", Settings, make_app)
        return 0
    settings = read_or_exit("sqs_updater", ReplaySettings)
    logs.configure("sqs_updater", settings.log_level, settings.environment)
    try:
        done = asyncio.run(_replay(settings, chosen.limit))
    except sqs.SqsUnavailable as error:
        _report(f"sqs_updater replay: {error}. Run it again; what was sent on counts once.")
        return FAILED
    for reason in done.reasons:
        _report(f"sqs_updater replay: stays: {reason}")
    print(json.dumps(done.to_object()) if chosen.json else _sentence(done))  # noqa: T201 - what the command is for
    return 0


async def _replay(settings: ReplaySettings, limit: int | None) -> Replayed:
    async with sqs.connect(settings) as client:
        dead_letters = sqs.Queue(client, settings.usage_dlq_url)
        usage = sqs.Queue(client, settings.usage_queue_url)
        waiting = (await dead_letters.depth()).total
        return await replay(dead_letters, usage, limit=limit, progress=_progress(waiting))


def _progress(waiting: int) -> Callable[[Replayed], None]:
    reported = time.monotonic()

    def report(done: Replayed) -> None:
        nonlocal reported
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            _report(f"sqs_updater replay: {done.letters} of about {waiting} messages, {done.readings} readings sent on")

    return report


def _sentence(done: Replayed) -> str:
    return (
        f"looked at {done.letters} messages: {done.readings} readings sent on; in the dead-letter queue stay "
        f"{done.unreadable} unreadable texts and {done.rejected_again} readings that were rejected again"
    )


def _report(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - a person at the terminal reads this


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sqs_updater",
        description=__doc__,
        epilog=settings_help(Settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("consume", help="move usage readings from the queue to PostgreSQL (the default)")
    replaying = commands.add_parser("replay", help="send what lies in the dead-letter queue through once more")
    replaying.add_argument("--json", action="store_true", help="the outcome as one JSON object on standard output")
    replaying.add_argument("--limit", type=_positive, metavar="N", help="look at N messages at most (all)")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r:.40}, allowed: a number from 1")
    return int(text)
