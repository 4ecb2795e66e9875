"""Readings for the tests of the usage pipeline."""

import random
from typing import Any

from hypothesis import strategies as st

from aldea.ids import new_request_id
from aldea.usage.reading import Rank, UsageReading

PROJECT = "11111111-1111-7111-8111-111111111111"
KEY = "22222222-2222-7222-8222-222222222222"
# 2026-03-31 23:59:59.000 UTC: a day and a month end one second later.
STARTED_MS = 1_775_001_599_000


def reading(**changes: Any) -> UsageReading:
    """A reading with an id of its own, with these changes."""
    values: dict[str, Any] = {
        "request_id": new_request_id(),
        "started_ms": STARTED_MS,
        "project_id": PROJECT,
        "key_id": KEY,
        "service": "streaming",
        "lane": "live1",
        "path": "/v1/listen",
        "rank": Rank.OPEN,
        "seq": 1,
        **changes,
    }
    return UsageReading(**values)


@st.composite
def histories(draw: st.DrawFn) -> list[list[UsageReading]]:
    """For each request all that was ever written: openings, checkpoints, perhaps incomplete, at last the final."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        request_id = new_request_id()
        seqs = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6, unique=True).map(sorted))
        written = [reading(request_id=request_id, seq=seq, audio_ms=seq * 1000) for seq in seqs]
        if draw(st.booleans()):
            # Given up after its last checkpoint, or too early, when it was only cut off.
            seq = draw(st.sampled_from(seqs))
            written.append(reading(request_id=request_id, rank=Rank.INCOMPLETE, seq=seq, audio_ms=seq * 1000))
        # A correction may go down, and its seq may be lower than a checkpoint's.
        final = draw(st.integers(0, 40_000))
        written.append(reading(request_id=request_id, rank=Rank.FINAL, seq=draw(st.integers(1, 40)), audio_ms=final))
        found.append(written)
    return found


def delivered(written: list[list[UsageReading]], rng: random.Random) -> list[UsageReading]:
    """What arrives of it: every final, some checkpoints, some of either twice, in any order."""
    deliveries = []
    for request in written:
        checkpoints, final = request[:-1], request[-1]
        arrived = [one for one in checkpoints if rng.random() < 0.7]
        arrived += [one for one in arrived if rng.random() < 0.3]
        deliveries += [*arrived, final, *([final] if rng.random() < 0.5 else [])]
    rng.shuffle(deliveries)
    return deliveries
