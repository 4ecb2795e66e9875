"""What the harness knows of the truth: requests it drove, readings it saw written, processes it killed. No I/O."""

from dataclasses import dataclass, field
from typing import Final, Literal

from aldea.usage import Rank, UsageReading

# A proxy that lived this long after a request's end, as its client saw it, has written the final reading: the longest
# pause of a proxy (12 s), a Redis that is away (5 s) and starts again, and the wait for the server's last word (5 s).
SETTLED_SECONDS: Final = 30.0

Kind = Literal["stream", "upload"]
# How a request looks from the client: it is `running`, or it ended `clean` with the server's last word, `closed` by the
# server with a close frame in the middle, `vanished` by the client's own will, `broken` without a word, `refused`
# before it began.
Outcome = Literal["running", "clean", "closed", "vanished", "broken", "refused"]


@dataclass(slots=True)
class Driven:
    """One request as its client saw it. Times by the harness' monotonic clock, audio in milliseconds."""

    tag: str
    kind: Kind
    proxy: str
    opened: float
    length_ms: int
    sent_ms: int = 0
    reported_ms: int = 0
    outcome: Outcome = "running"
    detail: str = ""
    ended: float | None = None


@dataclass(slots=True)
class Written:
    """The greatest reading of a request that was seen on its way, and when a final one was first seen.

    `given_up`: the backend closed it from a checkpoint while no final reading was known.
    """

    reading: UsageReading
    final_at: float | None = None
    given_up: bool = False


@dataclass(slots=True)
class Book:
    """Everything written down in a run."""

    driven: dict[str, Driven] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    kills: dict[str, list[float]] = field(default_factory=dict)

    def saw(self, reading: UsageReading, at: float) -> None:
        """A reading stands in the Redis stream, or SQS accepted it."""
        for tag in reading.tags:
            known = self.written.setdefault(tag, Written(reading))
            if reading.order > known.reading.order:
                known.reading = reading
            if reading.rank == Rank.FINAL and known.final_at is None:
                known.final_at = at
            if reading.rank == Rank.INCOMPLETE and known.final_at is None:
                known.given_up = True

    def killed(self, name: str, at: float) -> None:
        """A process was ended by SIGKILL."""
        self.kills.setdefault(name, []).append(at)

    @property
    def given_up(self) -> int:
        """Requests that the backend closed from their last checkpoint."""
        return sum(known.given_up for known in self.written.values())

    @property
    def came_back(self) -> int:
        """Of those, how many were overridden by their final reading: their proxy had only been cut off, or paused."""
        return sum(known.given_up and known.final_at is not None for known in self.written.values())

    @property
    def died_young(self) -> int:
        """Requests whose proxy was killed within their first second, when nothing but the opening stood."""
        return sum(
            one.tag in self.written and self.proxy_died(one) and self._killed_after(one) <= 1
            for one in self.driven.values()
        )

    def _killed_after(self, one: Driven) -> float:
        return min((at - one.opened for at in self.kills.get(one.proxy, ()) if at >= one.opened), default=float("inf"))

    def proxy_died(self, one: Driven) -> bool:
        """Whether a request's proxy was killed before the final reading had been written, or must have been."""
        written = self.written.get(one.tag)
        until = min(
            float("inf") if written is None or written.final_at is None else written.final_at,
            float("inf") if one.ended is None else one.ended + SETTLED_SECONDS,
        )
        return any(one.opened <= at < until for at in self.kills.get(one.proxy, ()))
