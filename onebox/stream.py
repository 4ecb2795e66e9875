"""`python -m onebox.stream FILE`: stream recorded speech and see its words as they come.

The API key is read from a file, since everybody on a machine sees the arguments of its processes.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from aldea.canary.client import OnMessage, StreamFailed, stream_file, words
from onebox.home import DEFAULT_HOME
from onebox.output import Output, escapes_understood

_INDENT: Final = "  "
_DEFAULT_COLUMNS: Final = 80
# Of an interim text the end is shown; a longer line would be unreadable at a glance.
_MOST_COLUMNS: Final = 100


class WordPrinter:
    """Shows words as they come: on a terminal interim words turn into final ones in place, elsewhere finals only."""

    def __init__(self, output: Output | None = None) -> None:
        self._output = output or Output(sys.stdout)
        self._live = escapes_understood(self._output)

    def __call__(self, message: dict[str, Any]) -> None:
        if message.get("type") != "Results" or not (text := words(message)):
            return
        if message.get("is_final"):
            self._output.write(("\r\x1b[2K" if self._live else "") + f"{_INDENT}{text}\n")
        elif self._live:
            # A line that wraps cannot be written over.
            shown = end_of(text, min(self._columns(), _MOST_COLUMNS) - len(_INDENT) - 1)
            self._output.write(f"\r\x1b[2K{_INDENT}\x1b[2m{shown}\x1b[0m")
        self._output.flush()
        if self._output.gone:
            raise StreamFailed("The stream was ended: nobody reads its words.")

    def _columns(self) -> int:
        """The terminal's width now: a person may change it meanwhile."""
        try:
            return os.get_terminal_size(self._output.fileno()).columns or _DEFAULT_COLUMNS
        except (OSError, ValueError):
            return _DEFAULT_COLUMNS


def end_of(text: str, columns: int) -> str:
    """The end of `text` that fits into so many columns; Chinese and Japanese characters take two."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text[::-1], max(0, columns))[::-1]


def main(arguments: Sequence[str]) -> int:
    """Stream the file that the arguments name; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m onebox.stream", description=__doc__)
    parser.add_argument("file", type=Path, help="a 16-bit WAV file")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the platform's address")
    parser.add_argument(
        "--key-file", type=Path, default=DEFAULT_HOME / "demo.key", help="a file with an API key (.onebox/demo.key)"
    )
    parser.add_argument("--fast", action="store_true", help="as fast as possible instead of in real time")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON and no words")
    chosen = parser.parse_args(arguments)
    output = Output(sys.stdout)
    try:
        show: OnMessage = (lambda _message: None) if chosen.json else WordPrinter(output)
        key = _key(chosen.key_file)
        outcome = asyncio.run(stream_file(chosen.file, chosen.url, key, fast=chosen.fast, on_message=show))
    except StreamFailed as failure:
        Output(sys.stderr).write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        output.write(json.dumps(asdict(outcome)) + "\n")
    else:
        output.write(f"{outcome.duration:.3f} s heard, close code {outcome.close_code}, request {outcome.request_id}\n")
    output.flush()
    return 0


def _key(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise StreamFailed(
            f"The key file {file} cannot be read: {reason}. Start the platform, or name another."
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
