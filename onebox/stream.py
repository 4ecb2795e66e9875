"""`python -m onebox.stream FILE --url … --key …`: stream recorded speech and see its words as they come."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aldea.canary.client import OnMessage, StreamFailed, stream_file, words


class WordPrinter:
    """Shows words as they come: on a terminal interim words turn into final ones in place, elsewhere finals only."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()

    def __call__(self, message: dict[str, Any]) -> None:
        if message.get("type") != "Results" or not (text := words(message)):
            return
        if message.get("is_final"):
            self._stream.write(("\r\x1b[2K" if self._live else "") + f"  {text}\n")
        elif self._live:
            self._stream.write(f"\r\x1b[2K  \x1b[2m{text[-100:]}\x1b[0m")
        self._stream.flush()


def main(arguments: Sequence[str]) -> int:
    """Stream the file that the arguments name; the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m onebox.stream", description=__doc__)
    parser.add_argument("file", type=Path, help="a 16-bit WAV file")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the platform's address")
    parser.add_argument("--key", required=True, help="an API key, org_…")
    parser.add_argument("--fast", action="store_true", help="as fast as possible instead of in real time")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON and no words")
    chosen = parser.parse_args(arguments)
    try:
        show: OnMessage = (lambda _message: None) if chosen.json else WordPrinter()
        outcome = asyncio.run(stream_file(chosen.file, chosen.url, chosen.key, fast=chosen.fast, on_message=show))
    except StreamFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(json.dumps(asdict(outcome)))
    else:
        print(f"{outcome.duration:.3f} s heard, close code {outcome.close_code}, request {outcome.request_id}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
