"""The backend's command line: serve the Platform API (the default), migrate, set up accounts, reconcile usage.

    python -m backend                              serve, with the environment's settings
    python -m backend migrate [up|down] [REV]      bring the schema up (newest) or down (one step)
    python -m backend bootstrap --email ADDRESS --password-stdin [--project NAME] [--key-file PATH] [--unlimited]
    python -m backend operator EMAIL [--revoke]    make an account an operator of the platform, or withdraw that
    python -m backend reconcile --day YYYY-MM-DD [--json] [--no-repair]

`bootstrap` makes sure that an operator account exists and owns a project with an API key. It may be run again: what
exists stays. A new key is printed once on standard output, or written to PATH (mode 0600); what was done goes to
standard error. It needs DATABASE_URL and a migrated database; a running backend writes the key to Redis at once.

`reconcile` recomputes the charges of a UTC day's requests from their prices, its rollups from the requests, and what
each billing account has spent (of all days) from its projects' charges; it reports and repairs differences. It may run
beside writers, any number of times. Exit status 0: nothing differed; 3: something did (and was
repaired, unless --no-repair).
A repair needs the rights of the tables' owner, who migrates; the service does not have them. A day of many million
requests may need a larger DATABASE_STATEMENT_SECONDS.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import asyncpg

from aldea import errors
from aldea import log as logs
from aldea.postgres import open_database
from aldea.redaction import redact_text
from aldea.service import lifecycle
from aldea.settings import Port, read_or_exit
from aldea.settings_help import settings_help
from backend.settings import BackendSettings, PlanSettings

# What only one command uses is imported in its function: the whole application costs a second, and a start of the
# platform runs `migrate` and `bootstrap` before it serves.
# ruff: noqa: PLC0415

FAILED: Final = 1
# A reconciliation found a difference: a correct program leaves none behind, so a scheduler should report it.
DIFFERED: Final = 3


class CommandSettings(PlanSettings):
    """What a command reads: the database's settings and the plan; it serves no port."""

    port: Port = 0
    log_level: str = "WARNING"


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; the process's exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.command is None:
        from backend.app import make_app

        lifecycle.run("backend", BackendSettings, make_app)
        return 0
    settings = read_or_exit("backend", CommandSettings)
    logs.configure("backend", settings.log_level, settings.environment)
    try:
        return asyncio.run(_COMMANDS[chosen.command](settings, chosen))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, errors.ApiError) as error:
        reason = redact_text(f"{type(error).__name__}: {error}")
        _report(f"backend {chosen.command}: {reason}. Check DATABASE_URL and run it again.")
        return FAILED


async def _migrate(settings: CommandSettings, chosen: argparse.Namespace) -> int:
    from backend.schema.migrate import migrate

    await migrate(settings, chosen.direction, chosen.revision)
    return 0


async def _reconcile(settings: CommandSettings, chosen: argparse.Namespace) -> int:
    from backend.pipeline.charges import WrongCharge, WrongSpend, reconcile_charges, reconcile_spend
    from backend.pipeline.rollups import Difference, RequestsGone, reconcile

    try:
        async with open_database(settings, "reconcile") as database:
            repair = not chosen.no_repair
            charges = await reconcile_charges(database, chosen.day, repair=repair)
            rollups = await reconcile(database, chosen.day, repair=repair)
            accounts = await reconcile_spend(database, repair=repair)
    except RequestsGone as error:
        _report(f"backend reconcile: {error}")
        return FAILED
    found: dict[str, Sequence[WrongCharge | Difference | WrongSpend]]
    found = {"charges": charges, "rollups": rollups, "accounts": accounts}
    differed = any(found.values())
    repaired = differed and repair
    if chosen.json:
        objects = {name: [one.to_object() for one in some] for name, some in found.items()}
        objects["differences"] = objects.pop("rollups")
        _print(json.dumps({"day": chosen.day.isoformat(), **objects, "mended": repaired}))
        return DIFFERED if differed else 0
    for line in (*charges, *rollups, *accounts):
        _print(str(line))
    counts = [f"{name} that differed: {len(some)}" for name, some in found.items() if some]
    _print(f"{chosen.day}: {', '.join(counts + ['repaired'] * repaired) or 'nothing differed'}")
    return DIFFERED if differed else 0


async def _bootstrap(settings: CommandSettings, chosen: argparse.Namespace) -> int:
    from backend.accounts.errors import WeakPassword
    from backend.accounts.passwords import MIN_CHARACTERS
    from backend.bootstrap import bootstrap

    # On a command line a password would be visible in the process list and the shell's history.
    password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < MIN_CHARACTERS:
        _report(f"backend bootstrap: the password on standard input needs at least {MIN_CHARACTERS} characters.")
        raise SystemExit(FAILED)
    try:
        key = await bootstrap(
            settings,
            email=chosen.email,
            password=password,
            project=chosen.project,
            key_file=chosen.key_file,
            unlimited=chosen.unlimited,
            report=_report,
        )
    except WeakPassword as weak:
        _report(f"backend bootstrap: {weak}")
        return FAILED
    if key is not None and chosen.key_file is None:
        _print(key)
    return 0


async def _operator(settings: CommandSettings, chosen: argparse.Namespace) -> int:
    from backend.accounts.operators import appoint

    if not await appoint(settings, chosen.email, operator=not chosen.revoke):
        _report(f"backend operator: no account has the address {chosen.email}. Sign it up, or check its spelling.")
        return FAILED
    _report(f"{chosen.email} is {'no operator any more' if chosen.revoke else 'an operator'}.")
    return 0


_COMMANDS: Final = {"migrate": _migrate, "bootstrap": _bootstrap, "operator": _operator, "reconcile": _reconcile}


def _print(line: str) -> None:
    print(line)  # noqa: T201 - what the command is for


def _report(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - a person at the terminal reads this


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description=__doc__,
        epilog=settings_help(BackendSettings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    migrating = commands.add_parser("migrate", help="bring the database's schema up or down; many may run at once")
    migrating.add_argument("direction", nargs="?", choices=("up", "down"), default="up")
    migrating.add_argument("revision", nargs="?", help="up to this one (newest) or down to this one (one step)")
    first = commands.add_parser("bootstrap", help="make sure that an operator account with a project and key exists")
    first.add_argument("--email", required=True, help="the account's address, its login")
    first.add_argument("--password-stdin", required=True, action="store_true", help="read the password from there")
    first.add_argument("--project", default="Demo", help="the project's name (Demo)")
    first.add_argument("--key-file", type=Path, help="write a new key here instead of printing it")
    first.add_argument("--unlimited", action="store_true", help="take all limits off the project and its account")
    operator = commands.add_parser("operator", help="make an existing account an operator of the platform")
    operator.add_argument("email", help="the account's address")
    operator.add_argument("--revoke", action="store_true", help="withdraw that")
    checking = commands.add_parser("reconcile", help="recompute a day's usage rollups, report and repair differences")
    checking.add_argument("--day", required=True, type=_day, help="the UTC day, YYYY-MM-DD, or today or yesterday")
    checking.add_argument("--json", action="store_true", help="one JSON object on standard output")
    checking.add_argument("--no-repair", action="store_true", help="report differences, change nothing")
    return parser


def _day(text: str) -> date:
    today = datetime.now(UTC).date()
    if text in {"today", "yesterday"}:
        return today if text == "today" else date.fromordinal(today.toordinal() - 1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r:.40}, allowed: YYYY-MM-DD, today, yesterday") from None
