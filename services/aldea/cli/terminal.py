"""What the command prints: results to stdout, all else to stderr; progress and interim words on terminals alone."""

import os
import shutil
import sys
import unicodedata
from typing import Final, TextIO

# Interim words and progress are one line, which is written over.
_CLEAR: Final = "\r\x1b[2K"


class Terminal:
    """Both streams. A character that stdout cannot show is replaced, not a failure."""

    def __init__(self, output: TextIO | None = None, errors: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._errors = errors or sys.stderr
        self._line = False  # a line that is to be written over is there

    def print(self, text: str) -> None:
        """A line of the result. Raises BrokenPipeError if nobody reads it any more."""
        self._clear()
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Text of the result, as it is. Raises BrokenPipeError."""
        encoding = self._output.encoding or "utf-8"
        self._output.write(text.encode(encoding, "replace").decode(encoding))
        self._output.flush()

    def complain(self, text: str) -> None:
        """A line for the person."""
        self._clear()
        encoding = self._errors.encoding or "utf-8"
        self._errors.write(f"aldea: {text}\n".encode(encoding, "replace").decode(encoding))
        self._errors.flush()

    def progress(self, text: str) -> None:
        """A line that the next one replaces; nothing where stderr is no terminal that can do so."""
        if not self._errors.isatty() or os.environ.get("TERM") == "dumb":
            return
        columns = shutil.get_terminal_size().columns - 1
        while len(text) > 1 and _cells(text) > columns:
            text = text[1:]  # of interim words the end is of interest
        self._errors.write(f"{_CLEAR}{text}")
        self._errors.flush()
        self._line = True

    def _clear(self) -> None:
        if self._line:
            self._line = False
            self._errors.write(_CLEAR)
            self._errors.flush()


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
