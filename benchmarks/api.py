"""The Platform API beside the same statements sent bare, at two sizes of the table: `make bench-api`.

The backend runs alone on one core; the client, PostgreSQL and Redis share another. Requests are sent one at a time over
one connection, and so are the bare statements; runs are interleaved, figures are medians of the runs' p99. The rows are
written before anything is timed.
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import psutil
import uvloop

from aldea.postgres import PLAN_FOR_EACH_VALUE
from backend.usage import repository
from backend.usage.filters import Filters
from backend.usage.period import DAY_MS, Period, start_of
from benchmarks import machine, stage
from benchmarks.api_stage import ApiStage, Filled
from benchmarks.relay import RESULTS
from onebox.process import Process

QUERIED_DAYS: Final = 30
# Without a bound; a filter that one request in fifty of the project passes.
BY_TAG: Final = "page of 10 by tag"
WARM_UP: Final = 100
CONNECTIONS: Final = 16
# How long a new key may take to be admitted before the benchmark gives up.
ADMISSION_SECONDS: Final = 20.0
REQUEST_SECONDS: Final = 30.0
SECONDS_OF_WRK: Final = 60


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rows: int = 5_000_000
    fewer_rows: int = 500_000
    runs: int = 5
    requests: int = 1000
    read_seconds: int = 5
    keys: int = 300


QUICK: Final = Sizes(rows=500_000, fewer_rows=50_000, runs=3, requests=300, read_seconds=2, keys=50)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    text: str
    value: float
    must: float | None
    aim: float | None
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is what it must be."""
        return self.must is None or (self.value >= self.must if self.at_least else self.value <= self.must)


def questions(project_id: str) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """A query: its URL at the API, and the statement that the API runs for it, with its arguments."""
    today = datetime.now(UTC).date()
    end = start_of(today) + DAY_MS
    period = Period(end - QUERIED_DAYS * DAY_MS, end)
    path, ended = f"/v1/projects/{project_id}", Filters(ended=True)
    return {
        "usage by day": (f"{path}/usage", repository.sums_query(project_id, period, Filters(), ("day",), limit=10_001)),
        "page of 10": (f"{path}/requests", repository.newest_query(project_id, period, ended, limit=11)),
        "page of 50": (f"{path}/requests?limit=50", repository.newest_query(project_id, period, ended, limit=51)),
        BY_TAG: (
            f"{path}/requests?tag=customer-500",
            repository.newest_query(project_id, period, Filters(tag="customer-500", ended=True), limit=11),
        ),
    }  # fmt: skip


def spread(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {"p50_ms": 1e3 * ordered[len(ordered) // 2], "p99_ms": 1e3 * ordered[len(ordered) * 99 // 100]}


class Client:
    """One connection to one service, as cheap as it gets: what it costs would be counted as the service's."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=REQUEST_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: bench\r\nAuthorization: Token {key}\r\n"

    def send(self, method: str, path: str, body: bytes = b"", media_type: str | None = None) -> tuple[int, bytes]:
        """The response's status and body."""
        more = "" if media_type is None else f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode() + body)
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._received()
        length = re.search(rb"\r\nContent-Length: (\d+)", got, re.IGNORECASE)
        if length is None:
            raise SystemExit(f"{method} {path}: a response without a length: {got[:300]!r}")
        while len(got) < end + 4 + int(length[1]):
            got += self._received()
        return int(got[9:12]), got[end + 4 :]

    def _received(self) -> bytes:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise SystemExit("the service closed the connection")
        return piece

    def get(self, path: str) -> bytes:
        """The body of a 200."""
        status, body = self.send("GET", path)
        if status != 200:
            raise SystemExit(f"GET {path} got {status}: {body[:300]!r}")
        return body

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def through_the_api(on: Filled, path: str, count: int) -> dict[str, float]:
    """So many requests, one behind the other."""
    client = Client(on.port, on.key)
    seconds = []
    for number in range(WARM_UP + count):
        began = time.perf_counter()
        client.get(path)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    client.close()
    return spread(seconds)


async def bare(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: tuple[Any, ...], count: int
) -> dict[str, float]:
    """So many executions of the statement, one behind the other, on one connection."""
    seconds = []
    for number in range(WARM_UP + count):
        began = time.perf_counter()
        await connection.fetch(*statement)
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
    return spread(seconds)


def reads(on: ApiStage, process: Process, port: int, path: str, key: str, seconds: int) -> dict[str, float]:
    """Reads a second over 16 connections, and the process's time for each in microseconds."""
    before = _cpu(process)
    argv = ("taskset", "-c", on.other_core, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s")
    url = f"http://127.0.0.1:{port}{path}"
    said = subprocess.run(
        (*argv, "-H", f"Authorization: Token {key}", url),
        capture_output=True, text=True, check=True, timeout=SECONDS_OF_WRK + seconds,
    ).stdout  # fmt: skip
    if trouble := re.search(r"Non-2xx.*|Socket errors.*", said):
        raise SystemExit(f"wrk met failures: {trouble[0]}")
    done = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if done is None or rate is None:
        raise SystemExit(f"wrk said nothing that is understood: {said[-300:]}")
    return {"reads_per_s": float(rate[1]), "cpu_us": (_cpu(process) - before) * 1e6 / max(1, int(done[1]))}


def _cpu(process: Process) -> float:
    root = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (root.children(recursive=True) or [root])]
    return sum(float(one.user + one.system) for one in times)


def admissions(on: Filled, proxy_port: int, count: int) -> dict[str, float]:
    """New keys: from the request that makes one to the proxy's 200 for an upload with it. Also the first tries."""
    backend = Client(on.port, on.key)
    seconds, at_once = [], 0
    for number in range(count):
        began = time.perf_counter()
        body = json.dumps({"comment": f"key {number}", "scopes": ["usage:write"]}).encode()
        path = f"/v1/projects/{on.project_id}/keys"
        status, response = backend.send("POST", path, body, "application/json")
        if status != 200:
            raise SystemExit(f"POST keys responded {status}: {response[:300]!r}")
        proxy = Client(proxy_port, json.loads(response)["key"])
        tries = 0
        while time.perf_counter() - began < ADMISSION_SECONDS:
            tries += 1
            status, response = proxy.send("POST", "/v1/listen", b"RIFF", "audio/wav")
            if status == 200:
                break
        else:
            raise SystemExit(f"a new key was not admitted: {status} {response[:300]!r}")
        seconds.append(time.perf_counter() - began)
        at_once += tries == 1
        proxy.close()
    backend.close()
    return {**spread(seconds), "at_once": at_once / count}


async def measure(on: ApiStage, stack: ExitStack, sizes: Sizes) -> dict[str, Any]:
    """All runs, interleaved."""
    filled = {rows: await _filled(on, rows, stack) for rows in (sizes.fewer_rows, sizes.rows)}
    on.pin()
    runs: dict[str, list[dict[str, float]]] = {}

    def done(name: str, found: dict[str, float]) -> None:
        runs.setdefault(name, []).append(found)

    async with AsyncExitStack() as connections:
        bare_connections = {}
        for rows, at in filled.items():
            # Planned as the backend has it planned: what PostgreSQL makes of a statement is not what is compared.
            connection = await asyncpg.connect(at.database_url, timeout=10, server_settings=dict(PLAN_FOR_EACH_VALUE))
            connections.push_async_callback(connection.close)
            bare_connections[rows] = connection
        for number in range(sizes.runs):
            for rows, at in filled.items():
                for name, (path, statement) in questions(at.project_id).items():
                    done(f"{name}, bare, {rows}", await bare(bare_connections[rows], statement, sizes.requests))
                    done(f"{name}, API, {rows}", through_the_api(at, path, sizes.requests))
            at = filled[sizes.rows]
            path = f"/v1/projects/{at.project_id}"
            done("reads, API", reads(on, at.backend, at.port, path, at.key, sizes.read_seconds))
            with on.peer(at.database_url) as (process, port):
                done("reads, bare handler", reads(on, process, port, path, at.key, sizes.read_seconds))
            print(f"run {number + 1} of {sizes.runs}", file=sys.stderr)
    with on.proxy_of(filled[sizes.rows]) as port:
        done("admission", admissions(filled[sizes.rows], port, sizes.keys))
    medians = {
        name: {figure: statistics.median(run[figure] for run in found) for figure in found[0]}
        for name, found in runs.items()
    }
    return {"medians": medians, "runs": runs}


async def _filled(on: ApiStage, rows: int, stack: ExitStack) -> Filled:
    began = time.monotonic()
    found = await on.filled(rows, stack)
    print(f"{rows:,} requests written in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


def table(medians: dict[str, dict[str, float]], sizes: Sizes) -> list[Row]:
    """Its bounds."""
    rows = []
    for name in questions(""):
        must, must_grow = (None, None) if name == BY_TAG else (3.0, 1.5)
        ours = medians[f"{name}, API, {sizes.rows}"]["p99_ms"]
        fewer = medians[f"{name}, API, {sizes.fewer_rows}"]["p99_ms"]
        statement = medians[f"{name}, bare, {sizes.rows}"]["p99_ms"]
        rows.append(Row(f"{name}, p99 against the bare statement", ours / statement, must, 2.0, "x"))
        rows.append(
            Row(f"{name}, p99 at {sizes.rows:,} rows against {sizes.fewer_rows:,}", ours / fewer, must_grow, 1.1, "x")
        )
    against = medians["reads, API"]["reads_per_s"] / medians["reads, bare handler"]["reads_per_s"]
    rows.append(Row("simple reads/s on one core against a bare handler", against, 0.6, 0.8, "x", at_least=True))
    rows.append(Row("making a key and being admitted with it, p99", medians["admission"]["p99_ms"], None, None, "ms"))
    rows.append(Row("new keys admitted at the first try", medians["admission"]["at_once"], 1.0, 1.0, "", at_least=True))
    return rows


def show(report: dict[str, Any]) -> None:
    """Print medians and the table."""
    for name, found in report["medians"].items():
        print(f"{name:36} " + "  ".join(f"{figure} {value:10,.2f}" for figure, value in found.items()))
    print(f"\n{'figure':58} {'measured':>11} {'must':>6} {'aim':>6}")
    for row in report["table"]:
        limits = " ".join("     -" if row[name] is None else f"{row[name]:>6g}" for name in ("must", "aim"))
        measured = f"{row['value']:.2f} {row['unit']}"
        print(f"{row['text']:58} {measured:>11} {limits}{'' if row['met'] else '  missed'}")


def main() -> None:
    """Measure, print, and keep the report of a full run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, to see a direction; nothing is kept")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args()
    lacking = stage.missing(nginx=False)
    if lacking:
        raise SystemExit("\n".join(lacking))
    sizes = QUICK if options.quick else Sizes()
    began, company = time.monotonic(), machine.Company()
    with ExitStack() as stack:
        on = ApiStage(Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
        found = uvloop.run(measure(on, stack, sizes))
    report = {
        "benchmark": "api",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "machine": machine.facts(),
        "others_cores": company.cores(),
        "sizes": asdict(sizes),
        "table": [
            {**asdict(row), "value": round(row.value, 3), "met": row.met} for row in table(found["medians"], sizes)
        ],
        **found,
    }
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "api.json").write_text(json.dumps(report, indent=1) + "\n")
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        show(report)


if __name__ == "__main__":
    main()
