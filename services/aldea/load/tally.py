"""Tally: what was seen of streams and uploads, in bounded memory however long a test runs. No I/O."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

# Values of one bucket differ by 1 % at most: three figures of a latency are enough.
_STEP: Final = math.log(1.01)
_LEAST: Final = 0.0005
_PERCENTILES: Final = (50, 90, 95, 99)
# Different causes of failure that are kept apart; a server may close with any of 4,000 codes.
_CAUSES: Final = 32
OTHER: Final = "other"


class Distribution:
    """Seconds, to 1 %; infinity for what never came."""

    __slots__ = ("_buckets", "count", "most")

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.most = 0.0

    def add(self, seconds: float) -> None:
        """Count one; less than half a millisecond counts as that."""
        self.count += 1
        self.most = max(self.most, seconds)
        bucket = _NEVER if math.isinf(seconds) else round(math.log(max(seconds, _LEAST)) / _STEP)
        self._buckets[bucket] += 1

    def percentile(self, percent: float) -> float | None:
        """The value that `percent` of all are not above; None of nothing, infinity if it never came."""
        wanted = math.ceil(self.count * percent / 100) or 1
        for bucket, upto in self._upto():
            if upto >= wanted:
                return min(_seconds(bucket), self.most)
        return None

    def within(self, seconds: float) -> int:
        """How many took at most so long."""
        return max((upto for bucket, upto in self._upto() if _seconds(bucket) <= seconds * 1.005), default=0)

    def figures(self) -> dict[str, float | int | None]:
        """For a report: seconds to the millisecond; None is what never came, or was never measured."""
        found: dict[str, float | int | None] = {"count": self.count}
        for percent in _PERCENTILES:
            found[f"p{percent}"] = finite(self.percentile(percent))
        return {**found, "max": finite(self.most) if self.count else None}

    def _upto(self) -> Iterator[tuple[int, int]]:
        upto = 0
        for bucket in sorted(self._buckets):
            upto += self._buckets[bucket]
            yield bucket, upto


_NEVER: Final = 10**6


def _seconds(bucket: int) -> float:
    return math.inf if bucket == _NEVER else math.exp(bucket * _STEP)


def finite(seconds: float | None) -> float | None:
    """To the millisecond; JSON knows no infinity."""
    return None if seconds is None or math.isinf(seconds) else round(seconds, 3)


class Tally:
    """One period's counts: of the whole test, of a window of its course, or of a stage."""

    def __init__(self) -> None:
        self.attempts = 0
        self.opened = 0
        self.ended = 0  # as they should
        self.failures: Counter[str] = Counter()  # of streams, by cause
        self.uploads = 0
        self.upload_failures: Counter[str] = Counter()
        self.connect = Distribution()
        self.first_words = Distribution()
        self.final_lag = Distribution()
        self.upload = Distribution()

    @property
    def failed(self) -> int:
        """Streams that were refused or broken off."""
        return self.failures.total()

    def fail(self, cause: str) -> None:
        """Count a stream that failed."""
        _count(self.failures, cause)

    def fail_upload(self, cause: str) -> None:
        """Count an upload that failed."""
        _count(self.upload_failures, cause)

    def document(self) -> dict[str, Any]:
        """For the report."""
        return {
            "streams": {
                "attempts": self.attempts,
                "opened": self.opened,
                "ended": self.ended,
                "failed": self.failed,
                "failures": dict(self.failures.most_common()),
            },
            "uploads": {
                "done": self.uploads,
                "failed": self.upload_failures.total(),
                "failures": dict(self.upload_failures.most_common()),
            },
            "latencies": {
                "connect": self.connect.figures(),
                "first_words": self.first_words.figures(),
                "final_lag": self.final_lag.figures(),
                "upload": self.upload.figures(),
            },
        }


def _count(causes: Counter[str], cause: str) -> None:
    causes[cause if cause in causes or len(causes) < _CAUSES else OTHER] += 1
