"""Customers' receivers that hang: each attempt takes a place for its whole time, so they are tried less often."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from yarl import URL

# One slow response says nothing; so many in a row do.
HUNG_IN_A_ROW: Final = 3
# Receivers that are remembered; the ones that hung the longest ago go first.
MAX_REMEMBERED: Final = 10_000


@dataclass(slots=True)
class _Hanging:
    times: int = 0
    until: float = 0.0


class Receivers:
    """What this process has seen of them. Pure state on a clock in seconds that only ever rises.

    A receiver is a host and port of one project: another project's path on the same host may be well.
    """

    def __init__(self, *, pause_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`pause_seconds`: between two attempts at a receiver that hangs."""
        self._pause = pause_seconds
        self._clock = clock
        self._hanging: OrderedDict[tuple[str, str], _Hanging] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hanging)

    def may_try(self, project_id: str, url: str) -> bool:
        """Whether an attempt makes sense now. At a receiver that hangs this grants one attempt in each pause."""
        found = self._hanging.get(_receiver(project_id, url))
        if found is None or found.times < HUNG_IN_A_ROW:
            return True
        now = self._clock()
        if now < found.until:
            return False
        found.until = now + self._pause
        return True

    def hung(self, project_id: str, url: str) -> None:
        """An attempt had no response in time."""
        receiver = _receiver(project_id, url)
        found = self._hanging.setdefault(receiver, _Hanging())
        found.times += 1
        found.until = self._clock() + self._pause
        self._hanging.move_to_end(receiver)
        if len(self._hanging) > MAX_REMEMBERED:
            self._hanging.popitem(last=False)

    def responded(self, project_id: str, url: str) -> None:
        """An attempt ended in time, however."""
        self._hanging.pop(_receiver(project_id, url), None)


def _receiver(project_id: str, url: str) -> tuple[str, str]:
    try:
        return project_id, URL(url).authority
    except ValueError:
        return project_id, url
