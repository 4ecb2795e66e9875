"""A short run of the fault harness: real processes struck at random, and every second billed once."""

import pytest

from tests.chaos.plan import short
from tests.chaos.run import run


async def test_every_second_is_billed_once_whatever_dies(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = await run(short(seed=1), print)
    assert outcome.verdict.failures == []
    assert outcome.verdict.total.requests > 20
    assert outcome.faults.total() > 5
    assert outcome.verdict.total.billed_ms > 0
    assert outcome.failovers > 0
    assert outcome.wire["alerts received"] > 0
