"""What customers are promised, each objective once: the load test judges by it, and alarms and rules are made of it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` of all events are to be good; `seconds`: a good one takes at most so long (None: it only succeeds)."""

    name: str
    title: str
    target: float
    seconds: float | None = None

    @property
    def budget(self) -> float:
        """The part of all events that may be bad."""
        return 1.0 - self.target

    @property
    def promise(self) -> str:
        """The objective as a sentence's part."""
        share = f"{100 * self.target:g} %"
        return f"{share} succeed" if self.seconds is None else f"{share} within {self.seconds:g} s"


HANDSHAKES: Final = Objective("handshakes", "Streams are accepted and not broken off", 0.999)
FIRST_WORDS: Final = Objective("first_words", "First words, from a stream's first audio on", 0.95, 4.0)
FINAL_LAG: Final = Objective("final_lag", "Final words, from the end of their audio on", 0.95, 3.0)
