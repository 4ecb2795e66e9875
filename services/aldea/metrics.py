"""Metrics: one prometheus registry per process, its text exposition, and the same values as CloudWatch EMF lines."""

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from aldea.objectives import OBJECTIVES, Objective
from aldea.service.middleware import contract_errors, stamp_response

# The loop's lag is sampled this often; a sleeping loop costs nothing, a busy one shows up within a second.
LAG_SAMPLE_SECONDS: Final = 0.5
# One value a minute is CloudWatch's standard resolution, and what the scaling alarms look at.
EMF_SECONDS: Final = 60.0
EMF_NAMESPACE: Final = "Aldea"
# CloudWatch takes at most 100 metrics in one EMF document, and 100 values of one metric (EMF specification).
EMF_MAX_METRICS: Final = 100
EMF_MAX_VALUES: Final = 100

EVENT_LOOP_LAG = Histogram(
    "aldea_event_loop_lag_seconds",
    "How late the event loop ran a timer",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
)


_openmetrics: Final[Callable[[CollectorRegistry], bytes]] = openmetrics.generate_latest
_OPENMETRICS: Final = "application/openmetrics-text"
# Histograms whose values are sent as well, so that CloudWatch knows their percentiles.
_WITH_VALUES: Final[set[str]] = set()


def emit_values(histogram: Histogram) -> None:
    """Send this histogram's values in EMF, too: a metric of its own name, each value as its bucket's upper bound."""
    _WITH_VALUES.update(family.name for family in histogram.describe())


def from_zero(counter: Counter, *values: str) -> Counter:
    """The counter, which shows 0 for each of these values of its label before anything was counted.

    Prometheus sees no increase in a series that begins with its first event: if that is the only one, no alert fires.
    """
    for value in values:
        counter.labels(value)
    return counter


def exposition_app() -> web.Application:
    """An internal application that serves the registry at `/metrics`.

    In OpenMetrics for who accepts that, since only it has exemplars, else in Prometheus' text format.
    """

    async def show(request: web.Request) -> web.Response:
        accepted = ",".join(request.headers.getall(hdrs.ACCEPT, [])).split(",")
        if any(one.partition(";")[0].strip() == _OPENMETRICS for one in accepted):
            body, content_type = _openmetrics(REGISTRY), openmetrics.CONTENT_TYPE_LATEST
        else:
            body, content_type = generate_latest(REGISTRY), CONTENT_TYPE_LATEST
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(middlewares=[contract_errors])
    app.on_response_prepare.append(stamp_response)
    app.router.add_get("/metrics", show)
    return app


async def watch_loop_lag() -> None:
    """Sample the event loop's lag for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_SAMPLE_SECONDS
        await asyncio.sleep(LAG_SAMPLE_SECONDS)
        EVENT_LOOP_LAG.observe(max(0.0, loop.time() - due))


async def emit_emf(service: str, environment: str) -> None:
    """Write the registry's values to standard output as EMF, once a minute for ever and when cancelled."""
    emitter = EmfEmitter(service, environment)
    try:
        while True:
            await asyncio.sleep(EMF_SECONDS)
            _write_emf(emitter)
    finally:
        _write_emf(emitter)  # what was counted since the last full minute


def _write_emf(emitter: "EmfEmitter") -> None:
    for line in emitter.documents(REGISTRY.collect(), time.time_ns() // 1_000_000):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


# The samples of a family that has no labels, by its type.
_SUFFIXES: Final = {
    "gauge": ("",),
    "counter": ("_total",),
    "histogram": ("_count", "_sum"),
    "summary": ("_count", "_sum"),
}
# By the family that knows an objective's events.
_JUDGED: Final = {objective.metric.removesuffix("_total"): objective for objective in OBJECTIVES}


class EmfEmitter:
    """Turns a registry into EMF documents: gauges as they are, counters and histogram sums/counts as differences."""

    def __init__(self, service: str, environment: str) -> None:
        self.service = service
        self.environment = environment
        self._last: dict[str, float] = {}

    def documents(self, families: Any, now_ms: int) -> list[str]:
        """EMF documents (JSON lines) for these metric families; dimension ServiceName only.

        Labels are summed over, since each combination would be a metric that CloudWatch bills by itself. What each of
        them added is in the same line as a plain field, `aldea_ws_closes_total{code="1011",…}`, which Logs Insights
        reads. A labelled metric that never counted anything is 0, so that an alarm on it has data.
        """
        values: dict[str, float | list[float]] = {}
        series: dict[str, float] = {}
        for family in families:
            if family.name.startswith("aldea_"):
                totals: dict[str, float] = {}
                self._collect(family, totals, series)
                values |= totals
            if family.name in _WITH_VALUES and (found := self._values(family)):
                values[family.name] = found
            if family.name in _JUDGED:
                values |= self._judged(_JUDGED[family.name], family)
        names = sorted(values)
        return [
            self._document(names[start : start + EMF_MAX_METRICS], values, series, now_ms)
            for start in range(0, len(names), EMF_MAX_METRICS)
        ]

    def _collect(self, family: Metric, values: dict[str, float], series: dict[str, float]) -> None:
        for suffix in _SUFFIXES.get(family.type, ()):
            values.setdefault(family.name + suffix, 0.0)
        for sample in family.samples:
            # EMF is JSON, which knows neither NaN nor infinity.
            if sample.name.endswith(("_created", "_bucket")) or not math.isfinite(sample.value):
                continue
            labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}"
            value = sample.value
            if family.type != "gauge":
                value -= self._last.get(name, 0.0)
                self._last[name] = sample.value
            values[sample.name] = values.get(sample.name, 0.0) + value
            if labels and value:
                series[name] = value

    def _judged(self, objective: Objective, family: Metric) -> dict[str, float]:
        """How many events the objective had since the last document, and how many of them were bad."""
        events = bad = 0.0
        for sample in family.samples:
            if objective.bad is not None:
                if sample.name == objective.metric:
                    label, begin = objective.bad
                    events += sample.value
                    bad += sample.value if sample.labels[label].startswith(begin) else 0.0
            elif sample.name.endswith("_count"):
                events += sample.value
                bad += sample.value
            elif sample.name.endswith("_bucket") and float(sample.labels["le"]) == objective.seconds:
                bad -= sample.value
        now = {f"{objective.counted}_events_total": events, f"{objective.counted}_bad_total": bad}
        risen = {name: value - self._last.get(name, 0.0) for name, value in now.items()}
        self._last |= now
        return risen

    def _values(self, family: Metric) -> list[float]:
        """What the histogram observed since the last document, over all labels; of many an even choice, in order."""
        now: dict[float, float] = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                now[bound] = now.get(bound, 0.0) + sample.value
        found: list[float] = []
        below, most = 0, max(filter(math.isfinite, now), default=0.0)
        for bound in sorted(now):
            key = f"{family.name}<={bound:g}"
            upto = round(now[bound] - self._last.get(key, 0.0))
            self._last[key] = now[bound]
            found += [min(bound, most)] * (upto - below)
            below = upto
        step = math.ceil(len(found) / EMF_MAX_VALUES) or 1
        return found[step // 2 :: step]

    def _document(
        self, names: list[str], values: Mapping[str, float | list[float]], series: dict[str, float], now_ms: int
    ) -> str:
        directive = {
            "Namespace": EMF_NAMESPACE,
            "Dimensions": [["ServiceName"]],
            "Metrics": [{"Name": name} for name in names],
        }
        return json.dumps(
            {
                "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]},
                "ServiceName": self.service,
                "Environment": self.environment,
                **{name: values[name] for name in names},
                **{name: value for name, value in series.items() if name.partition("{")[0] in names},
            }
        )
