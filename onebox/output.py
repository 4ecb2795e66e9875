"""Text for a person: what cannot be written (a closed pipe, a full disk, another encoding) ends no program."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

# For terminals that cannot show them.
_PLAIN: Final = str.maketrans({"✓": "+", "✗": "x", "…": "...", "│": "|", "↓": "v", "→": "->", "–": "-"})  # noqa: RUF001


class Output:
    """A text stream that never raises: `rich` and our own printing write to it."""

    def __init__(self, stream: TextIO | None, closed: Callable[[], None] | None = None) -> None:
        """`stream` None: a process without one. `closed` is called once, when nobody can read any more."""
        self._stream = stream
        self.closed = closed
        # Nobody reads what is written here.
        self.gone = False
        self._failed = False

    @property
    def encoding(self) -> str:
        """The stream's; ASCII where nobody knows."""
        return getattr(self._stream, "encoding", None) or ("utf-8" if self._stream is not None else "ascii")

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The file descriptor. Raises OSError if there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write what the stream can show of `text`."""
        if self._stream is None:
            return len(text)
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                plain = text.translate(_PLAIN).encode(self.encoding, "backslashreplace").decode(self.encoding)
                self._stream.write(plain)
        except (OSError, ValueError) as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        """Say once on standard error what happened, and let the rest go nowhere."""
        if self._failed:
            return
        self._failed = True
        self.gone = isinstance(error, BrokenPipeError | ValueError)
        with suppress(OSError, ValueError):
            # What is still in the stream's buffer would fail again at the interpreter's end.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
        reason = getattr(error, "strerror", None) or str(error)
        if self.gone:
            say_on_stderr("nobody reads this output any more (its pipe was closed)")
        else:
            say_on_stderr(f"this output cannot be written ({reason}); it goes on without")
        if self.gone and self.closed is not None:
            self.closed()


def say_on_stderr(text: str) -> None:
    """One line there, if it can be written."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"onebox: {text}\n")
        sys.stderr.flush()


def escapes_understood(output: "Output | TextIO") -> bool:
    """Whether this is a terminal that takes more than text: colours, and a line that is written over."""
    return output.isatty() and os.environ.get("TERM", "") not in {"", "dumb", "unknown"}
