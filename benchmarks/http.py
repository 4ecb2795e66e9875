"""http_proxy beside nginx's `proxy_pass` and a plain aiohttp reverse proxy: `make bench-http`.

Each proxy runs alone on one core; wrk, the compiled upstream (it reads each body whole, then responds with 2 KB) and
Redis share another. Runs are interleaved, figures are medians. Admission, metering and the log line per request are on.
`cpu_us` in the JSON is the proxy's own processor time for a request, in microseconds.
`turns` compares that of ours with plain aiohttp's in many short rounds, in turns, `before --before DIR` with that of
another checkout: medians of ratios, for a machine that does other work.
`nginx` is `proxy_pass` as packaged, which stores bodies of this size in a file first; `nginx streaming` does not, and
keeps its connections to the upstream.
"""

import argparse
import json
import pstats
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import http_peers, machine, pairs, stage
from benchmarks.relay import RESULTS, Row
from benchmarks.stage import BEFORE, ROOT, RUN_SECONDS, Stage
from onebox.ports import free_port
from onebox.process import Process

OURS, NGINX, STREAMING, PLAIN = "http_proxy", "nginx", "nginx streaming", "aiohttp"
BODY_BYTES: Final = 1 << 16
SAMPLE_SECONDS: Final = 0.02
MB: Final = 1e6


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    runs: int = 5
    seconds: int = 4
    connections: int = 32
    upload_bytes: int = 1 << 30
    uploads: int = 20
    each_bytes: int = 200_000_000
    pairs: int = 20


QUICK: Final = Sizes(runs=3, seconds=2, upload_bytes=1 << 28, each_bytes=50_000_000)


class UploadStage(Stage):
    """The stage with an upstream for recorded audio."""

    def __init__(self, folder: Path, stack: ExitStack, *, before: Path | None = None) -> None:
        super().__init__(folder, stack, upstream="sink", before=before)
        folder.chmod(0o711)  # nginx' workers may be another user, and store bodies below it
        self.script = folder / "post.lua"
        scheme = self.header.partition(": ")[2]
        self.script.write_text(
            f'wrk.method = "POST"\nwrk.body = string.rep("x", {BODY_BYTES})\n'
            f'wrk.headers["Authorization"] = "{scheme}"\nwrk.headers["Content-Type"] = "audio/wav"\n'
        )

    @contextmanager
    def serving(self, name: str, *, profile: Path | None = None) -> Iterator["Serving"]:
        """One of the proxies."""
        port = free_port()
        upstream = str(self.upstream_port)
        root = self.before.resolve() if name == BEFORE else ROOT
        env = {"PYTHONPATH": f"{root}/services:{root}"}
        if name in {NGINX, STREAMING}:
            config = http_peers.nginx_config(self.folder, port, self.upstream_port, streaming=name == STREAMING)
            argv: tuple[str, ...] = (stage.nginx_path() or "nginx", "-c", str(config), "-p", str(self.folder))
        elif name == PLAIN:
            argv = (sys.executable, "-m", "benchmarks.http_peers", "proxy", str(port), upstream)
        else:
            profiled = () if profile is None else ("-m", "cProfile", "-o", str(profile))
            argv = (sys.executable, *profiled, "-m", "http_proxy")
            env |= {
                "PORT": str(port),
                "REDIS_URL": self.redis_url,
                "STT_UPSTREAMS": f"http://127.0.0.1:{upstream}",
                "LANE": "bench",
                "DRAIN_SECONDS": "0",
            }
        with self._running(name, self.proxy_core, argv, port, **env) as process:
            yield Serving(self, port, process)


class Serving:
    """A running proxy and the load that it is put under."""

    def __init__(self, on: UploadStage, port: int, process: Process) -> None:
        self._stage = on
        self._port = port
        self._process = process

    def _workers(self) -> list[psutil.Process]:
        root = psutil.Process(self._process.pid)
        return root.children(recursive=True) or [root]

    def resident(self) -> int:
        """Resident bytes."""
        return sum(int(worker.memory_info().rss) for worker in self._workers())

    def _cpu(self) -> float:
        times = [worker.cpu_times() for worker in self._workers()]
        return sum(float(found.user + found.system) for found in times)

    def warm(self, connections: int) -> "Serving":
        """A second of load, whose figures nobody looks at: what a process makes once is made."""
        self.requests(connections, 1)
        return self

    def requests(self, connections: int, seconds: int) -> dict[str, float]:
        """Requests a second with bodies of 64 KB, and the proxy's processor time for each in microseconds."""
        before = self._cpu()
        argv = ("taskset", "-c", self._stage.other_core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s")
        url = f"http://127.0.0.1:{self._port}{http_peers.TARGET}"
        said = _run((*argv, "-s", str(self._stage.script), url))
        if trouble := re.search(r"Non-2xx.*|Socket errors.*", said):
            raise SystemExit(f"wrk met failures: {trouble[0]}")
        done = re.search(r"(\d+) requests in", said)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
        if done is None or rate is None:
            raise SystemExit(f"wrk said nothing that is understood: {said[-300:]}")
        return {"requests_per_s": float(rate[1]), "cpu_us": (self._cpu() - before) * 1e6 / max(1, int(done[1]))}

    def _sender(self, count: int, size: int) -> tuple[str, ...]:
        program = (sys.executable, "-m", "benchmarks.http_peers", "send")
        pinned = ("taskset", "-c", self._stage.other_core, *program)
        return (*pinned, str(self._port), str(count), str(size), self._stage.header)

    def upload(self, size: int) -> dict[str, float]:
        """One large upload's rate, in bytes a second."""
        return {"mb_per_s": size / MB / float(json.loads(_run(self._sender(1, size)))["seconds"])}

    def together(self, count: int, size: int) -> dict[str, float]:
        """The most memory that so many uploads at once add to what the proxy takes after a first one."""
        self.upload(1 << 24)
        before = most = self.resident()
        with subprocess.Popen(self._sender(count, size), cwd=ROOT, stdout=subprocess.DEVNULL) as sending:
            while sending.poll() is None:
                most = max(most, self.resident())
                time.sleep(SAMPLE_SECONDS)
        if sending.returncode:
            raise SystemExit("an upload failed while memory was measured")
        return {"added_mb": (most - before) / MB}


def _run(argv: tuple[str, ...]) -> str:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_SECONDS)
    if done.returncode:
        raise SystemExit(f"{argv[3]} failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    return done.stdout


@dataclass(frozen=True)
class Figure:
    """One thing that is measured, and of whom."""

    measure: Callable[[Serving, Sizes], dict[str, float]]
    peers: tuple[str, ...]
    value: str


FIGURES: Final = {
    "requests": Figure(
        lambda proxy, sizes: proxy.warm(sizes.connections).requests(sizes.connections, sizes.seconds),
        (OURS, PLAIN, NGINX, STREAMING),
        "requests_per_s",
    ),
    "upload": Figure(lambda proxy, sizes: proxy.upload(sizes.upload_bytes), (OURS, STREAMING), "mb_per_s"),
    "memory": Figure(lambda proxy, sizes: proxy.together(sizes.uploads, sizes.each_bytes), (OURS,), "added_mb"),
}
# Whose processor time for a request is measured in turns, a second each; the last only with --before.
PAIRS: Final = {"turns": (OURS, PLAIN), "before": (OURS, BEFORE)}
ROWS: Final = (
    Row("requests/s, 64 KB bodies, against plain aiohttp", "requests", PLAIN, "ratio", 0.7, 1.2, "x"),
    Row("requests/s, 64 KB bodies, against nginx as packaged", "requests", NGINX, "ratio", 0.3, 0.6, "x"),
    Row("requests/s, 64 KB bodies, against nginx, streaming", "requests", STREAMING, "ratio", 0.3, 0.6, "x"),
    Row("one 1 GB upload against nginx, streaming", "upload", STREAMING, "ratio", 0.6, 0.9, "x"),
    Row("memory added by 20 uploads of 200 MB at once", "memory", None, "plain", 30.0, 30.0, "MB"),
)


def missing(*, nginx: bool) -> list[str]:
    """What this machine lacks, a sentence each."""
    found = stage.missing(nginx=nginx)
    if shutil.which("wrk") is None:
        found.append("There is no wrk: install it (Debian: apt-get install wrk).")
    return found


def measure(on: UploadStage, name: str, sizes: Sizes, *, nginx: bool) -> dict[str, Any]:
    """All runs of one figure, interleaved, and the medians."""
    figure = FIGURES[name]
    runs: dict[str, list[dict[str, float]]] = {
        peer: [] for peer in figure.peers if nginx or peer not in {NGINX, STREAMING}
    }
    for number in range(sizes.runs):
        for peer, found in runs.items():
            with on.serving(peer) as proxy:
                found.append(figure.measure(proxy, sizes))
            value = found[-1][figure.value]
            print(
                f"{name:9} run {number + 1} of {sizes.runs}  {peer:16} {value:10,.1f} {figure.value}", file=sys.stderr
            )
    medians = {peer: statistics.median(run[figure.value] for run in found) for peer, found in runs.items()}
    return {"value": figure.value, "median": medians, "runs": runs}


def measure_in_turns(on: UploadStage, name: str, sizes: Sizes) -> dict[str, Any]:
    """Microseconds of processor time for a request of both, and the ratio of the requests/s that these allow."""
    peers = PAIRS[name]
    with ExitStack() as stack:
        proxies = [stack.enter_context(on.serving(peer)) for peer in peers]

        def turn(proxy: Serving) -> Callable[[int], float]:
            return lambda milliseconds: proxy.requests(sizes.connections, milliseconds // 1000)["cpu_us"]

        found = pairs.in_turns([turn(proxy) for proxy in proxies], sizes.pairs, 1000)
    ratio = pairs.compared(*found)
    return {
        "value": "cpu_us",
        "median": {peer: statistics.median(costs) for peer, costs in zip(peers, found, strict=True)},
        "ratio": {"median": ratio.median, "low": ratio.low, "high": ratio.high, "confidence": pairs.CONFIDENCE},
        "runs": dict(zip(peers, found, strict=True)),
    }


def show(report: dict[str, Any]) -> None:
    """Print every median, then the table."""
    for name, found in report["figures"].items():
        print(
            f"{name:9} {found['value']:15} "
            + "  ".join(f"{peer} {value:,.1f}" for peer, value in found["median"].items())
        )
        if (ratio := found.get("ratio")) is not None:
            found_between = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
            print(f"{'':9} {ratio['median']:.3f} x requests/s by processor time ({found_between})")
    print(f"\n{'figure':52} {'measured':>11} {'must':>8} {'aim':>8}")
    for row in report["table"]:
        note = "" if row["met"] else "  missed"
        measured = f"{row['value']:.2f} {row['unit']}"
        print(f"{row['text']:52} {measured:>11} {row['must']:>8g} {row['aim']:>8g}{note}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)} (default: these), turns")
    parser.add_argument("--quick", action="store_true", help="short runs, to see a direction; nothing is kept")
    parser.add_argument("--runs", type=int, help="runs of each figure and peer")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--without-nginx", action="store_true", help="leave nginx's figures out")
    parser.add_argument("--profile", action="store_true", help="profile http_proxy under small bodies instead")
    parser.add_argument("--before", type=Path, help="a checkout of former code, to compare its http_proxy with")
    options = parser.parse_args()
    known = [*FIGURES, *(name for name in PAIRS if name != "before" or options.before)]
    if unknown := set(options.figures) - set(known):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def main() -> None:
    """Measure, print, and keep the report of a full run."""
    options = arguments()
    nginx = not options.without_nginx
    if lacks := missing(nginx=nginx):
        raise SystemExit("\n".join(["bench-http cannot run here.", *lacks]))
    sizes = QUICK if options.quick else Sizes()
    if options.runs:
        sizes = replace(sizes, runs=options.runs, pairs=options.runs)
    nice = machine.go_first()
    began, company = time.monotonic(), machine.Company()
    with ExitStack() as stack:
        on = UploadStage(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack, before=options.before)
        if options.profile:
            path = on.folder / "profile"
            with on.serving(OURS, profile=path) as proxy:
                proxy.requests(sizes.connections, sizes.seconds)
            pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(50)
            return
        figures = {
            name: measure_in_turns(on, name, sizes) if name in PAIRS else measure(on, name, sizes, nginx=nginx)
            for name in options.figures or FIGURES
        }
    # A row knows our side by the name that the stage gives it.
    named = {
        name: {"median": {stage.OURS: found["median"][OURS], **found["median"]}} for name, found in figures.items()
    }
    rows = [(row, row.value(named)) for row in ROWS]
    report = {
        "benchmark": "http",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine.facts(stage.nginx_path() if nginx else None),
        "others_cores": company.cores(),
        "nice": nice,
        "sizes": asdict(sizes),
        "table": [{**asdict(row), "value": round(v, 3), "met": row.met(v)} for row, v in rows if v is not None],
        "figures": figures,
    }
    text = json.dumps(report, indent=1)
    if not (options.quick or options.figures):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "http.json").write_text(text + "\n")
    if options.json:
        print(text)
    else:
        show(report)


if __name__ == "__main__":
    main()
