"""The main figures of the onebox, computed from what its services' /metrics said at two moments. No I/O."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, tuple[tuple[str, str], ...]]
Samples = Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph of the page and the names of its lines, in the order of `figures`."""

    title: str
    unit: str
    lines: tuple[str, ...]


GRAPHS: Final = (
    Graph("Streams open", "", ("streams",)),
    Graph("Handshakes a second", "/s", ("accepted", "refused")),
    Graph("First words", "s", ("first words p50", "first words p95")),
    Graph("Lag of finals", "s", ("final lag p50", "final lag p95")),
    Graph("Usage: oldest reading", "s", ("in Redis", "in SQS")),
    Graph("Billed audio, seconds a second", "", ("live", "recorded")),
)


def samples(text: str, service: str) -> dict[Key, float]:
    """What a service's /metrics says, by name and labels, labelled `service` too. Raises ValueError for other texts."""
    return {
        (sample.name, tuple(sorted({**sample.labels, "service": service}.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("aldea_")
    }


def figures(before: Samples, now: Samples, seconds: float) -> list[float | None]:
    """A value for each line of GRAPHS; None where nothing happened that it could be computed from."""
    handshakes = _rise(before, now, "aldea_ws_handshakes_total", seconds)
    accepted = sum(rate for labels, rate in handshakes if labels.get("status") == "101")
    return [
        _total(now, "aldea_active_streams"),
        accepted,
        sum(rate for _, rate in handshakes) - accepted,
        *_quantiles(before, now, "aldea_ws_first_words_seconds"),
        *_quantiles(before, now, "aldea_ws_final_lag_seconds"),
        _total(now, "aldea_usage_stream_oldest_seconds"),
        _total(now, "aldea_usage_queue_oldest_seconds"),
        sum(rate for _, rate in _rise(before, now, "aldea_ws_audio_seconds_total", seconds)),
        sum(rate for _, rate in _rise(before, now, "aldea_http_audio_seconds_total", seconds)),
    ]


def _total(now: Samples, name: str) -> float:
    return sum(value for (found, _), value in now.items() if found == name)


def _rise(before: Samples, now: Samples, name: str, seconds: float) -> list[tuple[dict[str, str], float]]:
    """By how much each series of a counter rose in a second; one that fell was a process that began anew."""
    risen = []
    for key, value in now.items():
        if key[0] == name:
            past = before.get(key, 0.0)
            risen.append((dict(key[1]), (value - past if value >= past else value) / seconds))
    return risen


def _quantiles(before: Samples, now: Samples, name: str) -> list[float | None]:
    """Median and 95th percentile of what a histogram observed in between, over all its labels."""
    observed: dict[float, float] = defaultdict(float)
    for labels, rise in _rise(before, now, f"{name}_bucket", 1.0):
        observed[float(labels["le"])] += rise
    return [quantile(sorted(observed.items()), part) for part in (0.5, 0.95)]


def quantile(buckets: Sequence[tuple[float, float]], part: float) -> float | None:
    """A quantile from cumulative buckets, (bound, count) in order: between two bounds by the straight line."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    wanted = part * buckets[-1][1]
    below, lower = 0.0, 0.0
    for bound, upto in buckets:
        if upto >= wanted:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / (upto - below) if upto > below else bound
        below, lower = upto, bound
    return lower
