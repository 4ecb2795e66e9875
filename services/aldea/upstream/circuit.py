"""A circuit breaker: what is remembered of a server's failures, and when it may be tried again. Performs no I/O."""

from collections.abc import Callable
from enum import Enum
from typing import Final

# So many failures in a row, without a success between, open a circuit: one may be chance, three hardly.
FAILURES_TO_OPEN: Final = 3
# An open circuit is looked at again after this long, doubled each time in vain up to the cap. A restarted server is
# back within seconds of being ready; a dead one costs four probes a minute.
BACKOFF_SECONDS: Final = 1.0
BACKOFF_CAP_SECONDS: Final = 15.0
# Up to this share is added or taken at random, so that many proxies do not probe in step.
JITTER: Final = 0.2
# A server whose probe succeeded again gets one customer in this time, until one of them succeeded.
TRIAL_SECONDS: Final = 1.0


class State(Enum):
    """A circuit's state."""

    CLOSED = "closed"  # in use
    OPEN = "open"  # out of use
    HALF_OPEN = "half-open"  # responds to probes again; one customer at a time tries it


class Circuit:
    """A circuit breaker: pure state on a clock in seconds that only ever rises."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """`chance` returns random numbers from 0 to 1, for jitter."""
        self.state = State.CLOSED
        self._clock = clock
        self._chance = chance
        # Counted apart: a server that responds to probes but fails customers is down all the same.
        self._failed_requests = 0
        self._failed_probes = 0
        self._opened = 0  # times in a row without a success between
        self._due = 0.0
        self._last_trial = float("-inf")

    @property
    def due(self) -> float:
        """Clock time at which an open circuit is to be looked at again."""
        return self._due

    def may_try(self) -> bool:
        """Whether the next customer may be the first choice's; on a half-open circuit this grants the trial."""
        if self.state is State.HALF_OPEN and self._clock() - self._last_trial >= TRIAL_SECONDS:
            self._last_trial = self._clock()
            return True
        return self.state is State.CLOSED

    def last_resort(self) -> bool:
        """Whether it may be tried where no better server is left."""
        return self.state is not State.OPEN or self._clock() >= self._due

    def succeeded(self) -> None:
        """A customer's request was served."""
        self.state = State.CLOSED
        self._failed_requests = self._failed_probes = self._opened = 0

    def failed(self) -> None:
        """A customer's request was not served."""
        self._failed_requests += 1
        self._judge(self._failed_requests)

    def probe_succeeded(self) -> None:
        """The server responded to a probe."""
        self._failed_probes = 0
        if self.state is State.OPEN and self._clock() >= self._due:
            self.state = State.HALF_OPEN
            self._last_trial = float("-inf")

    def probe_failed(self) -> None:
        """The server did not respond to a probe."""
        self._failed_probes += 1
        self._judge(self._failed_probes)

    def _judge(self, failures: int) -> None:
        if self.state is State.OPEN and self._clock() < self._due:
            return  # what was under way when it opened says nothing new
        if self.state is State.CLOSED and failures < FAILURES_TO_OPEN:
            return
        backoff = min(BACKOFF_SECONDS * 2.0 ** min(self._opened, 16), BACKOFF_CAP_SECONDS)
        self._due = self._clock() + jittered(backoff, self._chance)
        self._opened += 1
        self.state = State.OPEN


def jittered(seconds: float, chance: Callable[[], float]) -> float:
    """`seconds`, up to a fifth more or less: `chance` returns random numbers from 0 to 1."""
    return seconds * (1.0 - JITTER + 2.0 * JITTER * chance())
