import pytest
import structlog

from benchmarks.fuzz import run


@pytest.mark.parametrize("seed", range(4))
async def test_random_and_mutated_inputs_end_only_in_declared_ways_and_leave_nothing_behind(seed: int) -> None:
    with structlog.testing.capture_logs():
        await run(3000, seed)
