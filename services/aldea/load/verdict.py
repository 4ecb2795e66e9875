"""Judge a tally by the objectives, and look for the load at which they are kept no longer. No I/O."""

from dataclasses import dataclass
from typing import Final

from aldea.load.tally import Distribution, Tally
from aldea.objectives import FINAL_LAG, FIRST_WORDS, HANDSHAKES, Objective

# The saturation point is known this well once the search ends: as a part of it.
PRECISION: Final = 0.04
# A generator that runs later than this says nothing about the deployment.
MAX_OWN_LAG_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is judged by."""

    handshakes: Objective = HANDSHAKES
    first_words: Objective = FIRST_WORDS
    final_lag: Objective = FINAL_LAG


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective: `good` of `events` were good. Without events it is not kept: nothing was shown."""

    objective: Objective
    events: int
    good: int

    @property
    def kept(self) -> bool:
        """Whether the objective holds."""
        return self.events > 0 and self.good >= self.objective.target * self.events - 1e-9

    @property
    def share(self) -> float | None:
        """The part that was good."""
        return self.good / self.events if self.events else None


def judge(tally: Tally, objectives: Objectives) -> tuple[Judged, ...]:
    """The tally by each objective; what had no words is bad by the first words' objective."""
    return (
        Judged(objectives.handshakes, tally.attempts, max(0, tally.attempts - tally.failed)),
        _timed(objectives.first_words, tally.first_words),
        _timed(objectives.final_lag, tally.final_lag),
    )


def _timed(objective: Objective, seen: Distribution) -> Judged:
    return Judged(objective, seen.count, seen.within(objective.seconds or 0.0))


class Search:
    """Looks for the greatest load that is carried: doubles it until one is not, then halves what lies between."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.carried = 0
        self.refused: int | None = None

    @property
    def next(self) -> int | None:
        """The load to try; None when the search is over."""
        if self.refused is None:
            return None if self.carried >= self._most else min(self._most, max(1, 2 * self.carried))
        if self.refused - self.carried <= max(1, int(PRECISION * self.carried)):
            return None
        return (self.carried + self.refused) // 2

    def judged(self, load: int, *, carried: bool) -> None:
        """The outcome of the load that was tried."""
        if carried:
            self.carried = load
        else:
            self.refused = load
