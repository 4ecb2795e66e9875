"""What customers are promised, each objective once: the load test judges by it, and alarms and rules are made of it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` of all events are to be good; `seconds`: a good one takes at most so long (None: it only succeeds).

    `metric`: the histogram of what they took, whose buckets have `seconds` among their bounds, or a counter of events;
    of those, `bad` is a label, and how its values begin that are not good. `where`: what to do when it is missed.
    """

    name: str
    title: str
    target: float
    seconds: float | None
    metric: str
    where: str
    bad: tuple[str, str] | None = None

    @property
    def counted(self) -> str:
        """What its events and bad events are called in CloudWatch, before `_events_total` and `_bad_total`."""
        return f"aldea_objective_{self.name}"

    @property
    def budget(self) -> float:
        """The part of all events that may be bad."""
        return 1.0 - self.target

    @property
    def promise(self) -> str:
        """The objective as a sentence's part."""
        share = f"{100 * self.target:g} %"
        return f"{share} succeed" if self.seconds is None else f"{share} within {self.seconds:g} s"


HANDSHAKES: Final = Objective(
    "handshakes", "Streams are accepted", 0.999, None, "aldea_ws_handshakes_total", "circuit", ("status", "5")
)
FIRST_WORDS: Final = Objective(
    "first_words",
    "First words, from a stream's first audio on",
    0.95,
    4.0,
    "aldea_ws_first_words_seconds",
    "late-words",
)
FINAL_LAG: Final = Objective(
    "final_lag", "Final words, from the end of their audio on", 0.95, 3.0, "aldea_ws_final_lag_seconds", "late-words"
)
USAGE_LAG: Final = Objective(
    "usage_lag", "Usage readings, from Redis to their row", 0.99, 60.0, "aldea_usage_lag_seconds", "usage-queue-age"
)
OBJECTIVES: Final = (HANDSHAKES, FIRST_WORDS, FINAL_LAG, USAGE_LAG)


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast a month's budget is used up where an alarm is due: `rate` times as fast as it may be.

    Both windows must show it: the long one that it matters, the short one that it goes on ("Alerting on SLOs", The Site
    Reliability Workbook, chapter 5). `wakes`: somebody is to be woken.
    """

    name: str
    rate: float
    long: str
    short: str
    wakes: bool


BURNS: Final = (Burn("fast", 14.4, "1h", "5m", wakes=True), Burn("slow", 6.0, "6h", "30m", wakes=False))
