"""What the harness knows of the truth: requests it drove, readings it saw written, processes it killed. No I/O."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from aldea.usage.reading import Rank, UsageReading

# A proxy that lived this long after a request's end, as its client saw it, has written the final reading: the longest
# pause of a proxy (12 s), an unavailable Redis (5 s) and starts again, and the wait for the server's last word (5 s).
SETTLED_SECONDS: Final = 30.0

# An upload carries its audio, by `url` it names it, by `callback` its result is delivered later.
Kind = Literal["stream", "upload", "url", "callback"]
# How a request looks from the client: it is `running`, or it ended `clean` with the server's last word, `closed` by the
# server with a close frame in the middle, `vanished` by the client's own will, `broken` without a word, `refused`
# before it began.
Outcome = Literal["running", "clean", "closed", "vanished", "broken", "refused"]


@dataclass(slots=True)
class Driven:
    """One request as its client saw it. Times by the harness' monotonic clock, audio in milliseconds.

    `faults`: words that came twice, not at all, or at a wrong time.
    """

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
    request_id: str = ""
    faults: list[str] = field(default_factory=list)


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
    stops: dict[str, list[float]] = field(default_factory=dict)
    # What a callback's receiver took: request id and duration in ms, as often as it came; and what was wrong with it.
    deliveries: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    spoiled: list[str] = field(default_factory=list)

    def saw(self, reading: UsageReading, at: float) -> None:
        """A reading is in the Redis stream, or SQS accepted it."""
        for tag in reading.tags:
            known = self.written.setdefault(tag, Written(reading))
            if reading.order > known.reading.order:
                known.reading = reading
            if reading.rank == Rank.FINAL and known.final_at is None:
                known.final_at = at
            if reading.rank == Rank.INCOMPLETE and known.final_at is None:
                known.given_up = True

    def remembered(self) -> dict[str, Written]:
        """What was seen written until now, for `forget_since`."""
        return {tag: replace(known) for tag, known in self.written.items()}

    def forget_since(self, remembered: dict[str, Written]) -> None:
        """A failover has passed: what was seen since `remembered` may be lost with the primary that confirmed it.

        Those who wrote it write it again. Where they are killed before that, it is lost as with a real failover, so
        only what the client has heard of is then held against the bill.
        """
        self.written = remembered

    def delivered(self, tag: str, request_id: str, duration_ms: int) -> None:
        """A callback's receiver took a result."""
        self.deliveries.setdefault(tag, []).append((request_id, duration_ms))

    @property
    def callbacks(self) -> dict[str, int]:
        """How many results were accepted, delivered, and delivered more than once."""
        accepted = [one for one in self.driven.values() if one.kind == "callback" and one.outcome == "clean"]
        return {
            "accepted": len(accepted),
            "delivered": len(self.deliveries),
            "delivered more than once": sum(len(found) > 1 for found in self.deliveries.values()),
        }

    def killed(self, name: str, at: float) -> None:
        """A process was ended by SIGKILL."""
        self.kills.setdefault(name, []).append(at)

    def stopped(self, name: str, at: float) -> None:
        """A process got SIGTERM."""
        self.stops.setdefault(name, []).append(at)

    def proxy_ended(self, one: Driven) -> bool:
        """Whether a request's proxy was killed or got SIGTERM while the request ran: its client may notice that."""
        until = float("inf") if one.ended is None else one.ended
        ends = self.kills.get(one.proxy, []) + self.stops.get(one.proxy, [])
        return any(one.opened <= at <= until for at in ends)

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
