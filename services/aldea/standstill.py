"""Time that this process did not live through: it was stopped, its machine was paused, its event loop was blocked.

After such a standstill all timers are overdue at once, and they fire before anything is read that came meanwhile. A
deadline by which a peer is judged therefore runs on lived time, and the sockets are looked at once more before the
verdict. Drains keep real time: the process is killed at its deadline whether it stood still or not.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter

log = structlog.get_logger("aldea.standstill")

# How often the process notes that it lives.
BEAT_SECONDS: Final = 0.25
# A beat that is this late was held up by more than a busy moment.
NOTICED_SECONDS: Final = 0.5
# How long after a deadline its verdict is spoken: one poll of the sockets lies between.
SECOND_LOOK_SECONDS: Final = 0.01

STOOD_STILL: Final = Counter("aldea_standstill_seconds_total", "Time that the process did not live through")


class _Lost:
    """The seconds lost so far."""

    seconds = 0.0


def lost() -> float:
    """The seconds that this process stood still since its start, as far as its `Heart` has noticed them."""
    return _Lost.seconds


def lived(loop: asyncio.AbstractEventLoop) -> float:
    """The loop's time without the time that the process stood still."""
    return loop.time() - _Lost.seconds


class Heart:
    """Beats while the event loop runs, and notes when it did not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = loop.time() + BEAT_SECONDS
        # No task: the callback has to come before those of all timers that fell due later.
        self._timer = loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        late = now - self._due
        if late > NOTICED_SECONDS:
            _Lost.seconds += late
            STOOD_STILL.inc(late)
            log.warning("the process stood still", seconds=round(late, 3))
        self._due = now + BEAT_SECONDS
        self._timer = self._loop.call_at(self._due, self._beat)


class Later:
    """A timer for judging a peer: `callback` runs once `seconds` were lived through and the sockets were looked at."""

    __slots__ = ("_callback", "_loop", "_timer", "_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._until = lived(loop) + seconds
        self._timer = loop.call_later(seconds, self._look_again)

    def cancel(self) -> None:
        """The callback does not run any more."""
        self._timer.cancel()

    def _look_again(self) -> None:
        self._timer = self._loop.call_later(SECOND_LOOK_SECONDS, self._judge)

    def _judge(self) -> None:
        left = self._until - lived(self._loop)
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_again)
        else:
            self._callback()
