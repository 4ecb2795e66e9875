"""How many streams one recognition process serves in real time: when the first words come, and how late final ones."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aldea.canary.client import stream_file, words

# So many streams at once, one after the other, until their words come too late.
STREAMS: Final = (1, 2, 3, 4, 6, 8, 10, 12)
# Of the recording, from its beginning.
STREAM_SECONDS: Final = 15.0
# Streams begin so long after each other: people do not all pause at once.
STAGGER_SECONDS: Final = 0.37
# In time: nineteen of twenty final results come within so long of the end of their audio, endpointing's 0.3 s included.
IN_TIME_SECONDS: Final = 1.5
# Somebody speaks where two windows in a row are above this share of the loudest one's loudness.
_ONSET_LEVEL: Final = 0.1
_WINDOW_SECONDS: Final = 0.05


@dataclass
class Heard:
    """When what of a stream came. `onset`: seconds of audio before somebody speaks."""

    onset: float
    began: float | None = None  # monotonic time, of the stream's first message
    first_words: float | None = None  # seconds after the first sound was sent
    lags: list[float] = field(default_factory=list)  # of each final result with words, behind the end of its audio

    def take(self, message: dict[str, Any]) -> None:
        """A message of the server."""
        now = monotonic()
        if self.began is None:
            self.began = now
        if message["type"] != "Results" or not words(message):
            return
        if self.first_words is None:
            self.first_words = now - self.began - self.onset
        if message["is_final"]:
            self.lags.append(now - self.began - message["start"] - message["duration"])


def onset(samples: NDArray[np.int16], rate: int) -> float:
    """Where somebody begins to speak, in seconds: sound that lasts, not a click before it."""
    size = round(_WINDOW_SECONDS * rate)
    windows = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    loudness = np.sqrt((windows**2).mean(axis=1))
    loud = loudness > _ONSET_LEVEL * loudness.max(initial=0.0)
    lasting = np.flatnonzero(loud[:-1] & loud[1:])
    return float(lasting[0]) * _WINDOW_SECONDS if len(lasting) else 0.0


async def served(url: str, path: Path, begin: float) -> dict[str, dict[str, float]]:
    """Streams at once → the first words (median, slowest), and how late finals come (median, 95th percentile, latest).

    All in seconds. `path`: the recording, in which somebody begins to speak at `begin` (seconds).
    """
    found: dict[str, dict[str, float]] = {}
    for count in STREAMS:
        streams = [Heard(begin) for _ in range(count)]
        await asyncio.gather(*(_one(url, path, index, heard) for index, heard in enumerate(streams)))
        found[str(count)] = figures(streams)
        if found[str(count)]["finals_p95"] > IN_TIME_SECONDS:
            break
    return found


async def _one(url: str, path: Path, index: int, heard: Heard) -> None:
    await asyncio.sleep(index * STAGGER_SECONDS)
    await stream_file(path, url, "none", on_message=heard.take)


def figures(streams: Sequence[Heard]) -> dict[str, float]:
    """What streams at once came to."""
    first = [heard.first_words for heard in streams if heard.first_words is not None]
    lags = sorted(lag for heard in streams for lag in heard.lags)
    return {
        "first_median": round(statistics.median(first), 2),
        "first_most": round(max(first), 2),
        "finals_median": round(statistics.median(lags), 2),
        "finals_p95": round(lags[int(0.95 * (len(lags) - 1))], 2),
        "finals_most": round(lags[-1], 2),
    }


def in_time(found: dict[str, dict[str, float]]) -> int:
    """How many streams at once had their words in time, of those that were tried."""
    return max((int(count) for count, one in found.items() if one["finals_p95"] <= IN_TIME_SECONDS), default=0)
