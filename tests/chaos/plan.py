"""What happens when: faults drawn from a seed, so that a run can be repeated. No I/O."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["kill", "pause", "restart", "cut", "fail over", "garbage", "1011", "half-close", "full"]
# What a process does to its streams while it lives, by `POST /fault` of the stand-in for an STT server.
MISBEHAVIOUR: Final[tuple[Kind, ...]] = ("garbage", "1011", "half-close", "full")
ENGINES: Final = ("engine-1", "engine-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large a run is. Times in seconds; `seconds` is how long faults are injected."""

    seed: int
    seconds: float
    ws_proxies: int
    http_proxies: int
    backends: int
    updaters: int
    streams: int
    uploads: int
    urls: int
    callbacks: int
    stream_seconds: float
    fault_every: float
    longest_fault: float
    lease_ttl: float

    @property
    def renew(self) -> float:
        """Between two checkpoints: as in production, a third of the lease's life or less."""
        return self.lease_ttl / 4


def short(seed: int, seconds: float = 5.0) -> Scale:
    """A run for the test suite: one of each, faults dense and brief."""
    return Scale(
        seed=seed,
        seconds=seconds,
        ws_proxies=2,
        http_proxies=1,
        backends=1,
        updaters=1,
        streams=8,
        uploads=2,
        urls=1,
        callbacks=2,
        stream_seconds=1.5,
        fault_every=0.35,
        longest_fault=0.8,
        lease_ttl=1.0,
    )


def long(seed: int, minutes: float) -> Scale:
    """A run of minutes: several of each, so that they race and take over from each other."""
    return Scale(
        seed=seed,
        seconds=minutes * 60,
        ws_proxies=2,
        http_proxies=2,
        backends=2,
        updaters=2,
        streams=16,
        uploads=3,
        urls=2,
        callbacks=3,
        stream_seconds=12.0,
        fault_every=3.0,
        longest_fault=12.0,
        lease_ttl=4.0,
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `kind` happens to `target` at `at` seconds, and is undone after `lasts` seconds."""

    at: float
    kind: Kind
    target: str
    lasts: float


# A proxy that ends waits eight seconds for an unavailable Redis (aldea/admission/outbox.py: CLOSE_SECONDS); what is not
# written then is in its log alone, which is beyond what a run can judge.
LONGEST_OF: Final = {"redis-1": 5.0, "redis-2": 5.0}
# The SQS emulator writes its messages down only when it gets SIGTERM: killed, it would lose what SQS never loses.
NEVER_KILLED: Final = frozenset({"sqs"})
# Of each deal: a failover touches every process, and is the first thing that happens in a run.
FAILOVERS: Final = 3


def deck(targets: Sequence[str]) -> list[tuple[Kind, str]]:
    """Every fault there is, once each but for failovers."""
    failover: tuple[Kind, str] = ("fail over", "redis")
    found: list[tuple[Kind, str]] = [("cut", "sqs"), *[failover] * FAILOVERS]
    for target in targets:
        found.append(("pause", target))
        found.append(("restart", target))
        if target in ENGINES:
            found += [(kind, target) for kind in MISBEHAVIOUR]
        if target not in NEVER_KILLED:
            found.append(("kill", target))
    return found


def plan(scale: Scale, targets: Sequence[str]) -> list[Fault]:
    """The faults of a run in their order. The whole deck is dealt before any of it comes again."""
    rng = random.Random(f"faults-{scale.seed}")
    faults: list[Fault] = []
    cards: list[tuple[Kind, str]] = []
    at = 0.0
    while True:
        at += scale.fault_every * rng.uniform(0.3, 1.7)
        if at >= scale.seconds:
            return faults
        if not cards:
            cards = deck(targets)
            rng.shuffle(cards)
            if not faults:
                cards.append(cards.pop(cards.index(("fail over", "redis"))))
        kind, target = cards.pop()
        longest = min(scale.longest_fault, LONGEST_OF.get(target, scale.longest_fault))
        # Mostly brief, sometimes long: the square of a uniform number.
        faults.append(Fault(at, kind, target, round(max(0.1, longest * rng.random() ** 2), 3)))
