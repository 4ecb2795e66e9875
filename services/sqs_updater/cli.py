"""The worker's command line: consume (the default), or replay the dead-letter queue."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from aldea import log as logs
from aldea import service, sqs
from aldea.settings import read_or_exit
from sqs_updater.app import make_app
from sqs_updater.replay import Replayed, replay
from sqs_updater.settings import ReplaySettings, Settings


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m sqs_updater", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("consume", "replay"), default="consume")
    if parser.parse_args(arguments).command == "consume":
        service.run("sqs_updater", Settings, make_app)
        return 0
    settings = read_or_exit("sqs_updater", ReplaySettings)
    logs.configure("sqs_updater", settings.log_level, settings.environment)
    try:
        done = asyncio.run(_replay(settings))
    except sqs.SqsUnavailable as error:
        print(f"sqs_updater replay: {error}. Run it again; what was sent on counts once.", file=sys.stderr)  # noqa: T201
        return 1
    print(f"replayed {done.readings} readings; {done.unreadable} dead letters are still unreadable and stay")  # noqa: T201
    return 0


async def _replay(settings: ReplaySettings) -> Replayed:
    async with sqs.connect(settings) as client:
        return await replay(sqs.Queue(client, settings.usage_dlq_url), sqs.Queue(client, settings.usage_queue_url))
