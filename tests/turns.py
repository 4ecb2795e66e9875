"""How many tests run at once on this machine, whichever clones they are of.

A test's deadlines are chosen for a machine that runs four at a time. Where a second clone is being tested beside this
one, their processes take turns, group by group (`tests.schedule`), and each test finds the machine as it would have it
for itself. Not test by test: what the tests of a file share goes on while they wait.
"""

import time
from typing import Final

from onebox.byte_locks import ByteLocks

# As many as one `make test` has processes.
AT_ONCE: Final = 4
# How often the first in the queue looks for a place.
_LOOK_SECONDS: Final = 0.005
# Longer than any group takes: a process that has held its place for so long hangs, and is not waited for.
_PATIENCE_SECONDS: Final = 600.0
# The process with this number is the first in the queue; the places' numbers are below it.
_QUEUE: Final = 1000


class Turns:
    """Places for test processes, over all processes of a user."""

    def __init__(self, locks: ByteLocks, places: int = AT_ONCE) -> None:
        self._locks = locks
        self._places = range(places)
        self._place: int | None = None
        self._patient = True

    def take(self) -> None:
        """Wait for a place, unless this process has one."""
        if self._place is None and self._patient:
            self._place = self._wait()

    def give_back(self) -> None:
        """Let somebody else test."""
        if self._place is not None:
            self._locks.give_back(self._place)
            self._place = None

    def _wait(self) -> int | None:
        # One process at a time looks for a place, and the others wait in their order. Otherwise a process that has just
        # given a place back would take it again before any other had looked.
        self._locks.wait(_QUEUE)
        try:
            patience = time.monotonic() + _PATIENCE_SECONDS
            while (place := self._free()) is None and self._patient:
                time.sleep(_LOOK_SECONDS)
                self._patient = time.monotonic() < patience
        finally:
            self._locks.give_back(_QUEUE)
        return place

    def _free(self) -> int | None:
        return next((place for place in self._places if self._locks.take(place)), None)


OF_THIS_MACHINE: Final = Turns(ByteLocks.of_this_user("aldea-tests-turns"))
