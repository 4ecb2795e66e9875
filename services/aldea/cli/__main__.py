"""`aldea`: reads the arguments, does what they say, and reports every failure in one line."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from aldea.canary.client import StreamFailed
from aldea.cli import account
from aldea.cli.access import KEY_FILE_VARIABLE, KEY_VARIABLE, URL_VARIABLE, Access, access
from aldea.cli.listen import listen
from aldea.cli.terminal import Terminal
from aldea.cli.transcribe import CAPTIONS, STDIN, transcribe

FAILED: Final = 1
# The scope of a key that is made without one.
TRANSCRIBE: Final = "usage:write"
# 128 and the signal's number, as a shell reports it.
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141

_ABOUT: Final = f"""\
Speech to text by the Aldea speech API. The API key is read from {KEY_VARIABLE}, else from the file that --key-file or
{KEY_FILE_VARIABLE} names, else from ~/.config/aldea/key.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit status: 0, 1 for a failure, 2 for unusable arguments."""
    # Failures are said in a sentence; a library's warnings would be noise beside it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    terminal = Terminal()
    try:
        parser = _parser()
        chosen = parser.parse_args(arguments)
        if chosen.command == "transcribe" and (chosen.srt or chosen.vtt) and _parameters(chosen):
            parser.error(
                "-p and --model have no effect on captions; leave them out, or take --json for the words' times"
            )
        return asyncio.run(_run(chosen, access(chosen.url, chosen.key_file), terminal))
    except StreamFailed as failure:
        return _complain(terminal, str(failure), FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _complain(terminal, "interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The interpreter would flush stdout once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _complain(terminal, "nobody reads the output any more.", NOBODY_READS)
    except (KeyError, TypeError, ValueError) as error:
        return _complain(terminal, f"the response has another shape than the API's ({error!r}).", FAILED)
    except OSError as error:
        return _complain(terminal, f"{error.strerror or error}.", FAILED)


def _complain(terminal: Terminal, text: str, status: int) -> int:
    with suppress(OSError):
        terminal.complain(text)
    return status


def _run(chosen: argparse.Namespace, here: Access, terminal: Terminal) -> Coroutine[Any, Any, int]:
    match chosen.command:
        case "transcribe":
            form = next((name for name in ("json", *CAPTIONS) if getattr(chosen, name)), "text")
            return transcribe(chosen.files, form, _parameters(chosen), here, terminal)
        case "listen":
            piped = not chosen.microphone and not sys.stdin.isatty()
            source = STDIN if chosen.source == STDIN or piped else None
            return listen(source, chosen.json, _parameters(chosen), here, terminal)
        case "usage":
            return account.usage(here, chosen.project, chosen.days, chosen.json, terminal)
    match chosen.action:
        case "create":
            scopes = chosen.scope or [TRANSCRIBE]
            return account.make_key(here, chosen.project, chosen.comment, scopes, chosen.json, terminal)
        case "revoke":
            return account.revoke_key(here, chosen.project, chosen.key_id, terminal)
    return account.list_keys(here, chosen.project, chosen.json, terminal)


def _parameters(chosen: argparse.Namespace) -> dict[str, str]:
    found = dict(chosen.parameter)
    if chosen.model is not None:
        found["model"] = chosen.model
    return found


def _parameter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"got {text!r:.40}; allowed: name=value")
    return name, value


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 366):
        raise argparse.ArgumentTypeError(f"got {text!r:.40}; allowed: a whole number from 1 to 366")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help=f"the API's address (or {URL_VARIABLE})")
    common.add_argument("--key-file", metavar="FILE", help=f"a file that holds the API key (or {KEY_FILE_VARIABLE})")
    speech = argparse.ArgumentParser(add_help=False)
    speech.add_argument("--model", help="the model's name")
    speech.add_argument(
        "-p", "--parameter", type=_parameter, action="append", default=[], metavar="NAME=VALUE",
        help="any parameter of the API, as -p multichannel=true",
    )  # fmt: skip
    in_project = argparse.ArgumentParser(add_help=False)
    in_project.add_argument("--project", metavar="ID", help="the project (default: the key's)")
    in_project.add_argument("--json", action="store_true", help="the API's response as it is")

    parser = argparse.ArgumentParser(prog="aldea", description=_ABOUT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    files = commands.add_parser("transcribe", parents=[common, speech], help="transcribe recorded files")
    files.add_argument("files", nargs="+", metavar="FILE", help="audio of any usual format; - for stdin")
    form = files.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the API's response as it is, a file after another")
    for name in CAPTIONS:
        form.add_argument(f"--{name}", action="store_true", help=f"captions in the format {name}")

    live = commands.add_parser("listen", parents=[common, speech], help="transcribe the microphone, or stdin, live")
    live.add_argument("source", nargs="?", choices=[STDIN], help="- for stdin (default: the microphone on a terminal)")
    live.add_argument("--microphone", action="store_true", help="the microphone, also where stdin is no terminal")
    live.add_argument("--json", action="store_true", help="every message of the server, a line each")

    keys = commands.add_parser("keys", parents=[common, in_project], help="list, make or revoke API keys")
    actions = keys.add_subparsers(dest="action", metavar="ACTION")
    making = actions.add_parser("create", help="make a key; its text is printed once")
    making.add_argument("comment", help="what it is for")
    making.add_argument("--scope", action="append", help="what it may do; repeatable (default: usage:write)")
    revoking = actions.add_parser("revoke", help="end a key")
    revoking.add_argument("key_id", metavar="ID", help="its id, as the list shows it")

    used = commands.add_parser("usage", parents=[common, in_project], help="audio and requests of the last days")
    used.add_argument("--days", type=_days, default=30, help="so many days up to today, 1 to 366 (default: 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
