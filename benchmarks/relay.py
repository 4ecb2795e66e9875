"""ws_proxy beside nginx's plain tunnel and a message-level aiohttp proxy: `make bench-relay`.

Each proxy runs alone on one core; the compiled load generator, the compiled upstream and Redis share another. Runs are
interleaved, so that whatever else the machine does meets all of them, and figures are medians. Admission, metering,
checkpoints and the log line per stream are on. A full run takes about six minutes.
"""

import argparse
import json
import pstats
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import machine, pairs
from benchmarks.stage import BARE, BEFORE, MESSAGES, NGINX, OURS, ROOT, WITHOUT_WINDOWS, Stage, missing, nginx_path
from ws_proxy.websocket.window import CHUNK_OVERHEAD

RESULTS: Final = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Sizes:
    """How much is measured. Times in seconds."""

    runs: int = 5
    seconds: int = 4
    connections: int = 64
    open_streams: int = 3000
    paced_streams: int = 1000
    paced_seconds: int = 12  # long enough that a renewal of all streams (every 10 s) falls into each run
    handshakes: int = 5000
    short_streams: int = 100_000
    lost_streams: int = 50
    pairs: int = 40
    pair_milliseconds: int = 500


# Good enough to see in which direction a change went.
QUICK: Final = Sizes(runs=3, seconds=2, open_streams=500, handshakes=2000, short_streams=10_000, pairs=20)


def throughput(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """Messages a second, the result of each is read before the next is sent; a message is a frame and its result."""
    with stage.proxy(name) as proxy:
        return proxy.run("echo", sizes.connections, sizes.seconds)


def handshakes(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """Short streams a second: handshake, one frame, its result, Close."""
    with stage.proxy(name) as proxy:
        proxy.run("short", sizes.connections, 500)
        return proxy.run("short", sizes.connections, sizes.handshakes)


def latency(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """Real-time streams, a frame every 100 ms each; a frame's latency counts from its write to its result's read."""
    with stage.proxy(name) as proxy:
        return proxy.run("paced", sizes.paced_streams, sizes.paced_seconds)


def memory(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """Resident bytes per open stream, after a warm-up that has grown what a process needs once."""
    with stage.proxy(name) as proxy:
        proxy.run("short", 16, 200)
        before = proxy.resident()
        with proxy.held(sizes.open_streams):
            return {"kb_per_stream": (proxy.resident() - before) / sizes.open_streams / 1000}


def churn(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """Resident memory after many short streams, as a multiple of that after the first 30 % of them.

    By then the final readings that are kept for a repetition (60 s, at most 20,000) have reached their bound.
    """
    with stage.proxy(name) as proxy:
        first = sizes.short_streams * 3 // 10
        proxy.run("short", sizes.connections, first)
        before = proxy.resident()
        proxy.run("short", sizes.connections, sizes.short_streams - first)
        return {"resident_before": before, "resident_after": proxy.resident(), "growth": proxy.resident() / before}


def _lost(stage: Stage, name: str, sizes: Sizes, how: signal.Signals, seconds: int) -> dict[str, float]:
    """The longest time without a result of each of some real-time streams, one of whose two servers gets `how`."""
    with (
        stage.server() as (lost, port),
        stage.server() as (_, other),
        stage.proxy(name, upstreams=(port, other)) as proxy,
    ):

        def lose() -> None:
            time.sleep(LOST_AFTER_SECONDS)
            lost.signal(how)

        return proxy.run("paced", sizes.lost_streams, seconds, meanwhile=lose)


def kill(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """After a server was killed."""
    return _lost(stage, name, sizes, signal.SIGKILL, 6)


def hang(stage: Stage, name: str, sizes: Sizes) -> dict[str, float]:
    """After a server hangs: its connections stay, and nothing comes."""
    return _lost(stage, name, sizes, signal.SIGSTOP, 20)


@dataclass(frozen=True)
class Figure:
    """One thing that is measured, and of whom. `single`: one run is enough, it is long and no rate."""

    measure: Callable[[Stage, str, Sizes], dict[str, float]]
    peers: tuple[str, ...]
    value: str
    single: bool = False


# What is measured of two variants in turns (`pairs`); the last only with --before.
PAIRS: Final = {"windows": (OURS, WITHOUT_WINDOWS), "before": (WITHOUT_WINDOWS, BEFORE)}
FIGURES: Final = {
    "throughput": Figure(throughput, (OURS, NGINX, MESSAGES), "messages_per_s"),
    "handshakes": Figure(handshakes, (OURS, NGINX, MESSAGES), "handshakes_per_s"),
    "latency": Figure(latency, (OURS, NGINX, MESSAGES, BARE), "p99_ms"),
    "memory": Figure(memory, (OURS, WITHOUT_WINDOWS, NGINX, MESSAGES), "kb_per_stream"),
    "churn": Figure(churn, (OURS,), "growth", single=True),
    "kill": Figure(kill, (OURS,), "gap_p99_ms"),
    "hang": Figure(hang, (OURS,), "gap_p99_ms", single=True),
}


def measure(stage: Stage, name: str, sizes: Sizes, *, nginx: bool) -> dict[str, Any]:
    """All runs of one figure, interleaved, and the medians."""
    if pair := PAIRS.get(name):
        return pairs.measure(
            stage, pair, connections=sizes.connections, rounds=sizes.pairs, milliseconds=sizes.pair_milliseconds
        )
    figure = FIGURES[name]
    peers = [peer for peer in figure.peers if peer != NGINX or nginx]
    runs: dict[str, list[dict[str, float]]] = {peer: [] for peer in peers}
    count = 1 if figure.single else sizes.runs
    for number in range(count):
        for peer in peers:
            found = figure.measure(stage, peer, sizes)
            runs[peer].append(found)
            print(
                f"{name:10} run {number + 1} of {count}  {peer:8} {found[figure.value]:10,.2f} {figure.value}",
                file=sys.stderr,
            )
    medians = {peer: statistics.median(run[figure.value] for run in found) for peer, found in runs.items()}
    return {"value": figure.value, "median": medians, "runs": runs}


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of ours, perhaps against a peer's, with what it must be and should be."""

    text: str
    figure: str
    peer: str | None
    how: str  # "ratio" to the peer, "paired" (the ratio of `pairs`), "added" to the peer, or "plain"
    must: float
    aim: float
    unit: str
    less: float = 0.0  # of a plain one: what is not counted

    def value(self, figures: dict[str, Any]) -> float | None:
        """The figure; None if it was not measured."""
        medians: dict[str, float] = figures.get(self.figure, {}).get("median", {})
        if (
            not medians
            or (self.how != "paired" and OURS not in medians)
            or (self.peer is not None and self.peer not in medians)
        ):
            return None
        if self.how == "paired":
            return float(figures[self.figure]["ratio"]["median"])
        ours = medians[OURS]
        if self.peer is None:
            return ours - self.less
        return ours / medians[self.peer] if self.how == "ratio" else ours - medians[self.peer]

    def met(self, value: float) -> bool:
        """Whether it is what it must be: ratios at least, everything else at most."""
        return value >= self.must if self.how in ("ratio", "paired") else value <= self.must


# What the window of a stream holds that has sent one frame: its bytes, a header of 8, and the chunk.
WINDOW_KB: Final = (3200 + 8 + CHUNK_OVERHEAD) / 1000
# From the load's start until a server is lost: all its streams are open by then, and their time is being measured.
LOST_AFTER_SECONDS: Final = 3.0

ROWS: Final = (
    Row("messages/s against nginx's plain tunnel", "throughput", NGINX, "ratio", 0.65, 0.9, "x"),
    Row("messages/s against a message-level aiohttp proxy", "throughput", MESSAGES, "ratio", 1.5, 2.2, "x"),
    Row("messages/s with replay windows against without", "windows", WITHOUT_WINDOWS, "paired", 0.95, 0.99, "x"),
    Row("messages/s without replay windows against before", "before", BEFORE, "paired", 0.99, 1.0, "x"),
    Row("resident memory per open stream", "memory", None, "plain", 24.0, 17.0, "KB"),
    Row("the same without its replay window's bytes", "memory", None, "plain", 6.5, 6.0, "KB", less=WINDOW_KB),
    Row("handshakes/s against the message-level proxy", "handshakes", MESSAGES, "ratio", 1.1, 1.5, "x"),
    Row("real-time streams: added p99 latency", "latency", BARE, "added", 3.0, 1.0, "ms"),
    Row("memory after many short streams", "churn", None, "plain", 1.05, 1.0, "x"),
    Row("50 streams, a server of two killed: longest gap, p99", "kill", None, "plain", 300.0, 200.0, "ms"),
    Row("the same, a server of two hangs", "hang", None, "plain", 11_000.0, 10_000.0, "ms"),
)


def table(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that were measured, with their values."""
    return [
        {**asdict(row), "value": round(value, 3), "met": row.met(value)}
        for row in ROWS
        if (value := row.value(figures)) is not None
    ]


def show(report: dict[str, Any]) -> None:
    """Print every median, then the table."""
    for name, found in report["figures"].items():
        medians = "  ".join(f"{peer} {value:,.2f}" for peer, value in found["median"].items())
        print(f"{name:10} {found['value']:17} {medians}")
    print(f"\n{'figure':50} {'measured':>11} {'must':>8} {'aim':>8}")
    for row in report["table"]:
        measured = f"{row['value']:.2f} {row['unit']}"
        note = "" if row["met"] else "  missed"
        print(f"{row['text']:50} {measured:>11} {row['must']:>8g} {row['aim']:>8g}{note}")


def profile(stage: Stage, sizes: Sizes, mode: str) -> None:
    """Where ws_proxy's time goes, by function, under one kind of load; slower than without, so no figure."""
    path = stage.folder / "profile"
    with stage.proxy(OURS, profile=path) as proxy:
        proxy.run(mode, sizes.connections, sizes.handshakes if mode == "short" else sizes.seconds)
    pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(40)


def stalls(stage: Stage, sizes: Sizes) -> None:
    """How long ws_proxy's event loop was held up by what, under real-time streams; the probe itself costs a little."""
    path = stage.folder / "stalls.json"
    with stage.proxy(OURS, stalls=path) as proxy:
        print(json.dumps(proxy.run("paced", sizes.paced_streams, sizes.paced_seconds)))
    print(path.read_text())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join((*FIGURES, *PAIRS))} (all)")
    parser.add_argument("--quick", action="store_true", help="short runs, to see a direction; nothing is kept")
    parser.add_argument("--runs", type=int, help="runs of each figure and peer")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--without-nginx", action="store_true", help="leave nginx's figures out")
    parser.add_argument("--profile", choices=("echo", "short"), help="profile ws_proxy instead of measuring")
    parser.add_argument("--before", type=Path, help="a checkout of former code, to compare its ws_proxy with")
    parser.add_argument("--stalls", action="store_true", help="show what holds ws_proxy's event loop up instead")
    options = parser.parse_args()
    options.known = [*FIGURES, *(name for name in PAIRS if name != "before" or options.before)]
    if unknown := set(options.figures) - set(options.known):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(options.known)}")
    return options


def main() -> None:
    """Measure, print, and keep the report of a full run."""
    options = arguments()
    if lacks := missing(nginx=not (options.without_nginx or options.profile or options.stalls)):
        raise SystemExit("\n".join(["bench-relay cannot run here.", *lacks]))
    nice = machine.go_first()
    sizes = QUICK if options.quick else Sizes()
    if options.runs:
        sizes = replace(sizes, runs=options.runs)
    began, company = time.monotonic(), machine.Company()
    with ExitStack() as stack:
        stage = Stage(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack, before=options.before)
        if options.profile:
            profile(stage, sizes, options.profile)
            return
        if options.stalls:
            stalls(stage, sizes)
            return
        names = options.figures or options.known
        figures = {name: measure(stage, name, sizes, nginx=not options.without_nginx) for name in names}
    report = {
        "benchmark": "relay",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine.facts(None if options.without_nginx else nginx_path()),
        "others_cores": company.cores(),
        "nice": nice,
        "sizes": asdict(sizes),
        "table": table(figures),
        "figures": figures,
    }
    text = json.dumps(report, indent=1)
    if not (options.quick or options.figures):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "relay.json").write_text(text + "\n")
    if options.json:
        print(text)
    else:
        show(report)


if __name__ == "__main__":
    main()
