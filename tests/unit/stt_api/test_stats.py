import asyncio

import pytest

from stt_api.model import Model
from stt_api.recognition.pool import WorkerPool
from stt_api.stats import Stats


async def test_the_snapshot_counts_what_runs_and_what_ran() -> None:
    stats, pool = Stats(), WorkerPool(2, 8, Model("moonshine", "tiny", "1"), max_waiting=1, waiting_seconds=1)
    with stats.live(), stats.recorded():
        running = stats.snapshot(pool, draining=False)
    stats.heard(1.5)
    pool.workers[0].ready = True
    ended = stats.snapshot(pool, draining=True)
    assert running["streams"] == {"live": 1, "recorded": 1}
    assert ended["streams"] == {"live": 0, "recorded": 0}
    assert ended["total"] == {"live": 1, "recorded": 1}
    assert (ended["audio_seconds"], ended["capacity"], ended["used"]) == (1.5, 8, 0)
    assert running["capacity"] == 0, "a process that is not ready yet has no places"
    assert (running["draining"], ended["draining"]) == (False, True)
    assert (ended["engine"], ended["model"]) == ("moonshine", "tiny")
    assert [worker["ready"] for worker in ended["workers"]] == [True, False]


async def test_idleness_comes_when_the_last_one_ends() -> None:
    stats = Stats()
    await stats.idle()
    with stats.live():
        with stats.recorded():
            pass
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stats.idle(), 0.01)
    await stats.idle()
