"""The backend's command line: serve (the default), or migrate."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import asyncpg

from aldea import log as logs
from aldea.postgres import PostgresSettings
from aldea.settings import Port, read_or_exit
from backend.migrate import migrate

FAILED: Final = 1


class CommandSettings(PostgresSettings):
    """What a command reads: the database's settings; it serves no port."""

    port: Port = 0


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; the process's exit status."""
    chosen = _parser().parse_args(arguments)
    settings = read_or_exit("backend", CommandSettings)
    logs.configure("backend", settings.log_level, settings.environment)
    try:
        asyncio.run(migrate(settings, chosen.direction, chosen.revision))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = logs.redact_text(f"{type(error).__name__}: {error}")
        print(f"backend migrate: {reason}. Check DATABASE_URL and run it again.", file=sys.stderr)  # noqa: T201
        return FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    migrating = commands.add_parser("migrate", help="bring the database's schema up or down; many may run at once")
    migrating.add_argument("direction", nargs="?", choices=("up", "down"), default="up")
    migrating.add_argument("revision", nargs="?", help="up to this one (newest) or down to this one (one step)")
    return parser
