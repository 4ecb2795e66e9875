"""http_proxy's metrics; those of admission, upstreams and the event loop are registered where they are measured."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, cast

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

# Bounds of the buckets of a request's whole time, in seconds.
SECONDS_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600)


class Totals(Collector):
    """What all ended requests together were: plain numbers, where counters would be thirty calls a request."""

    def __init__(self) -> None:
        self.requests: dict[int, int] = {}
        self.seconds = 0.0
        self.within = [0] * (len(SECONDS_BUCKETS) + 1)  # requests by the first bucket that holds them; the last: none
        self.exemplars: list[Exemplar | None] = [None] * len(self.within)
        self.bytes_in = 0
        self.bytes_out = 0
        self.audio_ms = 0

    def count(
        self,
        status: int,
        *,
        seconds: float,
        bytes_in: int,
        bytes_out: int,
        audio_ms: int,
        exemplar: dict[str, str] | None = None,
    ) -> None:
        """A request has ended. `exemplar`: of its trace, if that is recorded."""
        self.requests[status] = self.requests.get(status, 0) + 1
        self.seconds += seconds
        bucket = bisect_left(SECONDS_BUCKETS, seconds)
        self.within[bucket] += 1
        if exemplar is not None:
            self.exemplars[bucket] = Exemplar(exemplar, seconds, time.time())
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.audio_ms += audio_ms

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        requests = CounterMetricFamily(
            "aldea_http_requests", "Requests by the status that the client got", labels=["status"]
        )
        for status, number in self.requests.items():
            requests.add_metric([str(status)], number)
        yield requests
        yield CounterMetricFamily("aldea_http_bytes_in", "Bytes of uploads", self.bytes_in)
        yield CounterMetricFamily("aldea_http_bytes_out", "Bytes of responses' bodies", self.bytes_out)
        yield CounterMetricFamily("aldea_http_audio_seconds", "Billed audio", self.audio_ms / 1000)
        bounds = [*(str(float(bound)) for bound in SECONDS_BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "aldea_http_request_seconds",
            "From the request's head to the response's end",
            # An exemplar that is None is none.
            buckets=list(zip(bounds, accumulate(self.within), cast("list[Exemplar]", self.exemplars), strict=True)),
            sum_value=self.seconds,
        )


TOTALS: Final = Totals()
REGISTRY.register(TOTALS)
IN_FLIGHT: Final = Gauge("aldea_http_requests_in_flight", "Requests that are being worked on")
UNMETERED: Final = Counter("aldea_http_unmetered_total", "Successful responses that reported no duration")
RETRIES: Final = Counter("aldea_http_retries_total", "Requests sent to an STT server once more", ["why"])
CALLBACKS: Final = Counter("aldea_http_callbacks_total", "Attempts to deliver a result", ["outcome"])
CONNECT_SECONDS: Final = Histogram(
    "aldea_http_upstream_connect_seconds",
    "Time to connect to an STT server",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)
