"""How many tests run at once on this machine, whichever clones they are of.

A test's deadlines are chosen for a machine that runs four at a time. Where a second clone is being tested beside this
one, their processes take turns, group by group (`tests.schedule`), and each test finds the machine as it would have it
for itself. Not test by test: what the tests of a file share does not stand still while they wait.
"""

import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import Final

# As many as one `make test` has processes.
AT_ONCE: Final = 4
# How often the first in the queue looks for a place.
_LOOK_SECONDS: Final = 0.005
# Longer than any group takes: those who have had their places for so long hang, and are waited for no more.
_PATIENCE_SECONDS: Final = 600.0
# The byte whose lock makes its holder the first in the queue; the places' bytes are below it.
_QUEUE: Final = 1000


class Turns:
    """Places for those who test, over all processes of a user: a byte of a file each, locked while it is taken."""

    def __init__(self, path: Path, places: int = AT_ONCE) -> None:
        self._path = path
        self._places = places
        self._file: int | None = None  # its descriptor; to close it would give the place back
        self._place: int | None = None
        self._patient = True

    def take(self) -> None:
        """Wait for a place, unless this process has one. The kernel gives back those of a process that is gone."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if self._place is None and self._patient:
            self._place = self._wait(self._file)

    def give_back(self) -> None:
        """Let somebody else test."""
        if self._file is not None and self._place is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
            self._place = None

    def _wait(self, file: int) -> int | None:
        # One at a time looks for a place, and the kernel lets the others wait in their order: who has just given a
        # place back would take it again otherwise, before anybody else had looked.
        fcntl.lockf(file, fcntl.LOCK_EX, 1, _QUEUE)
        try:
            patience = time.monotonic() + _PATIENCE_SECONDS
            while (place := self._free(file)) is None and self._patient:
                time.sleep(_LOOK_SECONDS)
                self._patient = time.monotonic() < patience
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN, 1, _QUEUE)
        return place

    def _free(self, file: int) -> int | None:
        for place in range(self._places):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return place
        return None


OF_THIS_MACHINE: Final = Turns(Path(tempfile.gettempdir()) / f"aldea-tests-turns-{os.getuid()}")
