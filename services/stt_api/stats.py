"""What the embedded STT server does and did: for `/stats`, metrics, and the drain, which waits until it is idle."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import Counter, Gauge

from stt_api.recognition.pool import WorkerPool

STREAMS = Gauge("aldea_stt_streams", "Live streams open")
REQUESTS = Gauge("aldea_stt_requests", "Recorded requests being transcribed")
AUDIO_SECONDS = Counter("aldea_stt_audio_seconds", "Audio transcribed, seconds of each channel")


class Stats:
    """Counts of the process."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.live_now = self.recorded_now = 0
        self.live_total = self.recorded_total = 0
        self.audio_seconds = 0.0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def live(self) -> Iterator[None]:
        """While a live stream is open."""
        self.live_now += 1
        self.live_total += 1
        self._idle.clear()
        try:
            with STREAMS.track_inprogress():
                yield
        finally:
            self.live_now -= 1
            self._ended()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """While a recording is transcribed."""
        self.recorded_now += 1
        self.recorded_total += 1
        self._idle.clear()
        try:
            with REQUESTS.track_inprogress():
                yield
        finally:
            self.recorded_now -= 1
            self._ended()

    def heard(self, seconds: float) -> None:
        """So much audio was transcribed."""
        self.audio_seconds += seconds
        AUDIO_SECONDS.inc(seconds)

    async def idle(self) -> None:
        """Wait until nothing is being transcribed."""
        await self._idle.wait()

    def snapshot(self, pool: WorkerPool, *, draining: bool) -> dict[str, Any]:
        """The body of `/stats`. `draining`: the process is about to stop and takes nothing new."""
        return {
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "engine": pool.model.engine,
            "model": pool.model.name,
            "capacity": pool.capacity,
            "used": pool.used,
            "waiting": pool.waiting,
            "draining": draining,
            "streams": {"live": self.live_now, "recorded": self.recorded_now},
            "total": {"live": self.live_total, "recorded": self.recorded_total},
            "audio_seconds": round(self.audio_seconds, 3),
            "workers": [
                {
                    "pid": worker.process.pid if worker.process is not None else None,
                    "ready": worker.ready,
                    "streams": len(worker.streams),
                    "restarts": worker.restarts,
                }
                for worker in pool.workers
            ],
        }

    def _ended(self) -> None:
        if not self.live_now + self.recorded_now:
            self._idle.set()
