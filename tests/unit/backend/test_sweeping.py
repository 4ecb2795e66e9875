"""A sweep's life in the background; what the sweeps do is tested with each of them."""

import asyncio

import structlog
from structlog.testing import capture_logs

from aldea.postgres import DatabaseUnavailable
from backend.sweeping import Sweeping


class Counted(Sweeping):
    def __init__(self, *errors: Exception) -> None:
        super().__init__(name="counted", every=3600, again=0, failure="nothing counted", log=structlog.get_logger("x"))
        self.errors = list(errors)
        self.swept = asyncio.Event()

    async def sweep_now(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.swept.set()


async def test_what_a_sweep_met_is_logged_and_the_next_one_follows() -> None:
    sweeping = Counted(DatabaseUnavailable("unavailable"), RuntimeError("a defect"))
    with capture_logs() as logs:
        sweeping.start()
        async with asyncio.timeout(60):
            await sweeping.swept.wait()
        await sweeping.stop()
    assert [entry["event"] for entry in logs] == ["nothing counted, will retry", "nothing counted"]
    assert [entry["log_level"] for entry in logs] == ["warning", "error"]


async def test_one_that_was_never_started_can_be_stopped() -> None:
    await Counted().stop()
