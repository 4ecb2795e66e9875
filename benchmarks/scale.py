"""What so many concurrent streams need: `make scale` (ARGS="--streams 250000", `--write` for docs/scale.md).

A model, no load test: costs that were measured on one machine, multiplied. Each constant names where it was measured;
change it there first. `simulated` plays streams that open, renew and end, and so checks the rates that `demand`
computes. List prices are us-west-2's, from memory.
"""

import argparse
import heapq
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import ROOT

DOCUMENT: Final = ROOT / "docs" / "scale.md"
BEGIN: Final = "<!-- scale: `make scale ARGS=--write` writes this -->"
END: Final = "<!-- end of scale -->"
SIZES: Final = (1_000, 100_000, 1_000_000)

# Processor seconds. docs/performance.md: "What a vCPU carries" (a real-time stream for a second), and its figures.
STREAM_SECOND: Final = 0.000_43
OPENING: Final = 0.000_768
# One script in Redis with its socket and its append to the log (docs/recorded-audio.md, "Figures").
SCRIPT: Final = 0.000_058
# Readings a second of one core each (docs/reliability.md, "Speed").
PUBLISHED: Final = 50_500.0
RECEIVED: Final = 40_900.0
STORED: Final = 69_900.0
SQS_REQUESTS: Final = 0.0037  # a reading
# A stream's renewals (aldea/admission/renewal.py), each with a checkpoint; beside them it is admitted and finished.
RENEW_SECONDS: Final = 10.0
# A core is kept at this, so that a peer's failure can be taken over.
BUSY: Final = 0.6
# Assumed, not measured: bytes of a usage row with its indexes, and of the lines that a stream leaves in the log.
ROW_BYTES: Final = 1_000
LINE_BYTES: Final = 600
# 16 kHz, 16 bits, one channel.
AUDIO_BYTES_A_SECOND: Final = 32_000

HOURS: Final = 730  # a month
TASK_DOLLARS: Final = 0.0494 * HOURS  # 1 vCPU and 2 GB of Fargate
REDIS_DOLLARS: Final = 115.5  # an m7g.large; a primary has a replica
DATABASE_CORE_DOLLARS: Final = 134.5  # of an m7g Multi-AZ instance
SQS_DOLLARS: Final = 0.40e-6  # a request
LOG_DOLLARS: Final = 0.50e-9  # a byte taken in
# For a thousand stream-hours (docs/deploy.md, "Cost"): what the load balancer and the accelerator take, and what
# sending the audio on to STT servers outside AWS adds.
EDGE_DOLLARS: Final = 1.73 + 0.92
OUTSIDE_DOLLARS: Final = 5.18 + 10.37


@dataclass(frozen=True)
class Load:
    """`streams` at every moment, each of `seconds` on average."""

    streams: int
    seconds: float = 300.0


@dataclass(frozen=True)
class Demand:
    """What a load needs each second, and what that makes of machines; `dollars` are a month's."""

    openings: float
    scripts: float
    readings: float
    proxy_cores: float
    redis_cores: float
    publisher_cores: float
    updater_cores: float
    database_cores: float
    audio_gbit: float
    rows_a_month: float
    row_gb_a_month: float

    @property
    def tasks(self) -> int:
        """ws-proxy tasks of one vCPU."""
        return math.ceil(self.proxy_cores / BUSY)

    @property
    def primaries(self) -> int:
        """Redis primaries; one runs scripts on one core."""
        return math.ceil(self.redis_cores / BUSY)

    @property
    def publishers(self) -> int:
        """Publishers of readings, one at least for each primary's stream of them."""
        return max(self.primaries, math.ceil(self.publisher_cores / BUSY))

    @property
    def updaters(self) -> int:
        """sqs_updater tasks."""
        return math.ceil(self.updater_cores / BUSY)

    @property
    def database(self) -> int:
        """Cores that write usage, of one primary or of several."""
        return max(2, math.ceil(self.database_cores / BUSY))


def demand(load: Load) -> Demand:
    """What `load` needs, by the measured costs."""
    openings = load.streams / load.seconds
    renewals = load.streams / RENEW_SECONDS
    scripts = renewals + 2 * openings
    readings = scripts  # each script writes one; the publisher leaves out those that a later one of its batch replaces
    rows = openings * 3600 * HOURS
    return Demand(
        openings=openings,
        scripts=scripts,
        readings=readings,
        proxy_cores=load.streams * STREAM_SECOND + openings * OPENING,
        redis_cores=scripts * SCRIPT,
        publisher_cores=readings / PUBLISHED,
        updater_cores=readings / RECEIVED,
        database_cores=readings / STORED,
        audio_gbit=load.streams * AUDIO_BYTES_A_SECOND * 8 / 1e9,
        rows_a_month=rows,
        row_gb_a_month=rows * ROW_BYTES / 1e9,
    )


def dollars(load: Load) -> dict[str, float]:
    """A month's list prices, by item; the GPU servers are in none of them."""
    found = demand(load)
    seconds = 3600 * HOURS
    stream_hours = load.streams * HOURS / 1000
    return {
        "tasks": (found.tasks + found.publishers + found.updaters) * TASK_DOLLARS,
        "Redis, a replica each": found.primaries * 2 * REDIS_DOLLARS,
        "PostgreSQL, Multi-AZ": found.database * DATABASE_CORE_DOLLARS,
        "queue and logs": found.readings * seconds * SQS_REQUESTS * SQS_DOLLARS
        + found.openings * seconds * LINE_BYTES * LOG_DOLLARS,
        "load balancer and accelerator": stream_hours * EDGE_DOLLARS,
        "audio to STT servers outside AWS": stream_hours * OUTSIDE_DOLLARS,
    }


def saturation(seconds: float = 300.0) -> dict[str, float]:
    """How many streams the single parts carry, before there have to be two of them."""
    one = demand(Load(1, seconds))
    return {
        "a ws-proxy task": BUSY / one.proxy_cores,
        "a Redis primary": BUSY / one.redis_cores,
        "a core of PostgreSQL": BUSY / one.database_cores,
        "an sqs_updater": BUSY / one.updater_cores,
        "a publisher": BUSY / one.publisher_cores,
    }


def simulated(load: Load, seconds: float, seed: int) -> tuple[float, float]:
    """Openings and scripts a second, counted while streams open at random, renew every ten seconds and end."""
    chance = random.Random(seed)
    openings = scripts = 0
    due: list[tuple[float, float]] = []  # when a stream's next script is due, and when it ends
    for _ in range(load.streams):  # those that run at the beginning, each somewhere between two renewals
        heapq.heappush(due, (chance.random() * RENEW_SECONDS, chance.expovariate(1 / load.seconds)))
    opens = chance.expovariate(load.streams / load.seconds)
    while min(opens, due[0][0]) < seconds:
        if opens <= due[0][0]:
            openings, scripts = openings + 1, scripts + 1
            heapq.heappush(due, (opens + RENEW_SECONDS, opens + chance.expovariate(1 / load.seconds)))
            opens += chance.expovariate(load.streams / load.seconds)
            continue
        at, end = heapq.heappop(due)
        scripts += 1  # a renewal, or the final reading
        if at < end:
            heapq.heappush(due, (min(at + RENEW_SECONDS, end), end))
    return openings / seconds, scripts / seconds


def table(loads: list[Load]) -> str:
    """The loads side by side, as Markdown."""
    found = [demand(load) for load in loads]
    rows: list[tuple[str, list[str]]] = [
        ("streams opened a second", [_number(each.openings) for each in found]),
        ("Redis scripts a second", [_number(each.scripts) for each in found]),
        ("readings a second, at most", [_number(each.readings) for each in found]),
        ("audio, Gbit/s each way", [_number(each.audio_gbit) for each in found]),
        ("ws-proxy tasks of 1 vCPU", [_number(each.tasks) for each in found]),
        ("Redis primaries", [_number(each.primaries) for each in found]),
        ("publishers", [_number(each.publishers) for each in found]),
        ("sqs_updater tasks", [_number(each.updaters) for each in found]),
        ("PostgreSQL cores for usage", [_number(each.database) for each in found]),
        ("usage rows a month", [_number(each.rows_a_month) for each in found]),
        ("their size, GB a month", [_number(each.row_gb_a_month) for each in found]),
    ]
    costs = [dollars(load) for load in loads]
    rows += [(f"{name}, $ a month", [_number(cost[name]) for cost in costs]) for name in costs[0]]
    rows += [("**sum, $ a month**", [f"**{_number(sum(cost.values()))}**" for cost in costs])]
    hours = [load.streams * HOURS / 1000 for load in loads]
    rows += [
        ("$ a thousand stream-hours", [f"{sum(c.values()) / h:.2f}" for c, h in zip(costs, hours, strict=True)]),
    ]
    head = f"| concurrent streams | {' | '.join(_number(load.streams) for load in loads)} |"
    lines = [head, "|---|" + "---:|" * len(loads), *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)]
    limits = ["", "| one of these | carries streams |", "|---|---:|"]
    limits += [f"| {name} | {_number(carried)} |" for name, carried in sorted(saturation().items(), key=_second)]
    return "\n".join(lines + limits)


def _second(item: tuple[str, float]) -> float:
    return item[1]


def _number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 1000:
        digits = 3 - len(str(int(value)))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def written(text: str) -> str:
    """The document with the present tables. Raises ValueError if its markers are missing."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"got a text without the markers; allowed: one {BEGIN!r} and behind it one {END!r}")
    return f"{head}{BEGIN}\n\n{table([Load(streams) for streams in SIZES])}\n\n{END}{tail}"


def main(path: Path = DOCUMENT) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=list(SIZES), help="concurrent streams")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long a stream lasts on average")
    parser.add_argument("--write", action="store_true", help=f"write {path.name}, for the sizes that it has")
    options = parser.parse_args()
    if min(options.streams) < 1 or options.seconds <= 0:
        parser.error("got a load of nothing; allowed: at least one stream, of more than 0 seconds")
    if options.write:
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(table([Load(streams, options.seconds) for streams in options.streams]))


if __name__ == "__main__":
    main()
