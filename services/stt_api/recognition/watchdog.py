"""When a recognition process is stuck: it has work to do, says nothing, and does not get on with it. Performs no I/O.

A machine that is busy makes a process slow, and a slow one is left alone: what is judged is how long it computed, and
how long it did not compute at all.
"""

from typing import Final

# A process with work to do that neither says anything nor computes for so long is stuck.
STUCK_SECONDS: Final = 30.0
# So is one that computes for so long without a word. Its longest step, an utterance of 20 s, takes 2 s with the model
# that comes with moonshine, and up to ten times as long with the larger ones.
LOOPING_SECONDS: Final = 60.0
# Less computing than this between two looks is none: a thread that wakes up and waits again.
_NOTICED_SECONDS: Final = 0.05


class Watchdog:
    """Looks at one process from time to time."""

    def __init__(self) -> None:
        self._heard = 0.0  # when the process last said something, as of the last look
        self._heard_computed = 0.0  # what it had computed by then
        self._moved = 0.0  # when it was last seen to compute
        self._computed = 0.0

    def stuck(self, now: float, heard: float, computed: float | None) -> str | None:
        """Why a process with work to do counts as stuck; None if it does not.

        `heard`: when it last said something, or got work after it had none; on the same clock as `now` (seconds).
        `computed`: seconds of computing that it has had, None if that is not known: then its silence alone counts.
        """
        if heard != self._heard:
            self._heard, self._moved = heard, heard
            self._heard_computed = self._computed = computed or 0.0
        if computed is not None and computed - self._computed >= _NOTICED_SECONDS:
            self._computed, self._moved = computed, now
        if now - max(heard, self._moved) > STUCK_SECONDS:
            return f"it did not compute for {STUCK_SECONDS:g} s"
        if self._computed - self._heard_computed > LOOPING_SECONDS:
            return f"it computed {LOOPING_SECONDS:g} s without a word"
        return None
