"""ws_proxy with a probe that notes every stall of its event loop: `bench-relay --stalls`, 1,000 real-time streams.

`python -m benchmarks.stalls FILE` serves as `python -m ws_proxy` does, and writes what it saw to FILE when it stops.
"""

import asyncio
import gc
import heapq
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from aldea.service.lifecycle import run
from aldea.tasks import cancel, spawn
from ws_proxy.app import make_app
from ws_proxy.settings import Settings

# The probe wakes this often: a stall shows as the lateness of the wake-up after it, short by up to this much.
PROBE_SECONDS: Final = 0.001
# Upper edges of the histogram's bins, ms.
EDGES_MS: Final = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)
# So many of the longest stalls are shown.
WORST: Final = 20


class Probe:
    """Lateness of a timer, and the pauses of the garbage collector."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.worst: list[tuple[float, float]] = []  # milliseconds, and when: seconds since the start
        self.pauses_ms: list[tuple[int, float]] = []  # generation, length
        self._pause_began = 0.0
        self._began = time.perf_counter()

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(PROBE_SECONDS)
            ended = time.perf_counter()
            late = max(0.0, (ended - began - PROBE_SECONDS) * 1000)
            self.late_ms.append(late)
            heapq.heappush(self.worst, (round(late, 2), round(ended - self._began, 2)))
            if len(self.worst) > WORST:
                heapq.heappop(self.worst)

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """A callback of the garbage collector."""
        if phase == "start":
            self._pause_began = time.perf_counter()
        else:
            self.pauses_ms.append((info["generation"], (time.perf_counter() - self._pause_began) * 1000))

    def report(self) -> dict[str, Any]:
        """Counts by lateness, the share of time that stalls of more than 1 ms took, the worst; pauses by generation."""
        edges = (*EDGES_MS, float("inf"))
        counts = dict.fromkeys(edges, 0)
        for late in self.late_ms:
            counts[next(edge for edge in edges if late <= edge)] += 1
        total = sum(self.late_ms) + len(self.late_ms) * PROBE_SECONDS * 1000
        pauses = {
            f"generation {generation}": {
                "pauses": len(lengths),
                "longest_ms": round(max(lengths), 3),
                "total_ms": round(sum(lengths), 3),
            }
            for generation in range(3)
            if (lengths := [length for found, length in self.pauses_ms if found == generation])
        }
        return {
            "late_ms_at_most": {str(edge): count for edge, count in counts.items()},
            "share_in_stalls_over_1_ms": round(sum(late for late in self.late_ms if late > 1) / max(total, 1), 5),
            "worst": [f"{late} ms at {at} s" for late, at in sorted(self.worst, reverse=True)],
            "garbage_collector": pauses,
        }


def main() -> None:
    """Serve until SIGTERM, then write the report."""
    probe = Probe()

    def watched(settings: Settings) -> web.Application:
        app = make_app(settings)

        async def watching(_app: web.Application) -> AsyncIterator[None]:
            gc.callbacks.append(probe.collected)
            task = spawn(probe.watch(), name="stall-probe")
            yield
            await cancel(task)

        app.cleanup_ctx.append(watching)
        return app

    try:
        run("ws_proxy", Settings, watched)
    finally:
        Path(sys.argv[1]).write_text(json.dumps(probe.report(), indent=1) + "\n")


if __name__ == "__main__":
    main()
