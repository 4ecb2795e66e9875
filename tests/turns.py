"""How many tests run at once on this machine, whichever clones they are of.

A test's deadlines are chosen for a machine that runs four at a time. Where a second clone is being tested beside this
one, their processes take turns, test by test, and each test finds the machine as it would have it for itself.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# As many as one `make test` has processes.
AT_ONCE: Final = 4
_LOOK_SECONDS: Final = 0.05
# Longer than any test may take: who has a place for so long hangs, and is waited for no more.
_PATIENCE_SECONDS: Final = 320.0


class Turns:
    """Places for those who test, over all processes of a user: a byte of a file each, locked while it is taken."""

    def __init__(self, path: Path, places: int = AT_ONCE) -> None:
        self._path = path
        self._places = places
        self._file: int | None = None  # its descriptor; to close it would give the place back

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a place, and keep it until the block ends. The kernel gives back those of a process that is gone."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        patience = time.monotonic() + _PATIENCE_SECONDS
        while (place := self._take(self._file)) is None and time.monotonic() < patience:
            time.sleep(_LOOK_SECONDS)
        try:
            yield
        finally:
            if place is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _take(self, file: int) -> int | None:
        for place in range(self._places):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return place
        return None


OF_THIS_MACHINE: Final = Turns(Path(tempfile.gettempdir()) / f"aldea-tests-turns-{os.getuid()}")
