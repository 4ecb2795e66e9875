"""Two variants of ws_proxy under the same load in many short rounds, in turns: a ratio that stands a noisy machine.

What counts is the processor time that each takes for a message, as the kernel accounts it: where the proxy is the
bottleneck, messages/s are its inverse. Other work on the machine disturbs both rounds of a pair nearly alike.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.stage import Stage

# A confidence interval of so much, for the median of the ratios.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Ratio:
    """How the messages/s of one compare with the other's: the median of all pairs, and its confidence interval."""

    median: float
    low: float
    high: float


def compared(ours: Sequence[float], others: Sequence[float]) -> Ratio:
    """Compare two series of costs that were measured in pairs; at least one pair. No distribution is assumed.

    The interval's ends are order statistics: how many of n ratios are below the true median is binomial (n, 1/2).
    """
    ratios = sorted(other / our for our, other in zip(ours, others, strict=True))
    reach = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * len(ratios) ** 0.5
    below = max(0, int((len(ratios) - reach) / 2))
    return Ratio(statistics.median(ratios), ratios[below], ratios[-1 - below])


def in_turns(turns: Sequence[Callable[[int], float]], rounds: int, milliseconds: int) -> list[list[float]]:
    """What each found in each round; who begins changes. One round more of each comes before, and is not counted."""
    for turn in turns:
        turn(milliseconds)
    found: list[list[float]] = [[] for _ in turns]
    for number in range(rounds):
        order = range(len(turns)) if number % 2 else reversed(range(len(turns)))
        for which in order:
            found[which].append(turns[which](milliseconds))
    return found


def measure(
    stage: Stage, peers: tuple[str, str], *, connections: int, rounds: int, milliseconds: int
) -> dict[str, Any]:
    """Microseconds of processor time for a frame and its result of both, and the ratio of their messages/s."""
    with ExitStack() as stack:
        turns = []
        for peer in peers:
            proxy = stack.enter_context(stage.proxy(peer))
            turns.append(stack.enter_context(proxy.turns(connections)))
        found = in_turns(turns, rounds, milliseconds)
    ratio = compared(*found)
    print(
        f"{peers[0]} against {peers[1]}: {ratio.median:.3f} x messages/s ({ratio.low:.3f} to {ratio.high:.3f}),"
        f" {rounds} pairs of {milliseconds} ms",
        file=sys.stderr,
    )
    return {
        "value": "cpu_us_a_message",
        "median": {peer: statistics.median(costs) for peer, costs in zip(peers, found, strict=True)},
        "ratio": {"median": ratio.median, "low": ratio.low, "high": ratio.high, "confidence": CONFIDENCE},
        "runs": dict(zip(peers, found, strict=True)),
    }
