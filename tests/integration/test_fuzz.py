"""Every service, asked by strangers and by key holders who mean no good: no 5xx, no hang, nothing left behind."""

import os
import sys

import pytest
import structlog

from aldea.postgres import Database
from tests.fuzz.estate import estate
from tests.fuzz.run import run
from tests.integration.conftest import UsageQueues

# `make fuzz` asks for many more.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "600"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def tell(line: str) -> None:
    sys.stderr.write(f"fuzz: {line}\n")


@pytest.mark.timeout(120 + REQUESTS)
async def test_whatever_is_sent_is_answered_at_once_and_leaves_nothing(
    database: Database, database_url: str, redis_url: str, usage_queues: UsageQueues
) -> None:
    with structlog.testing.capture_logs():
        async with estate(database, database_url, redis_url, usage_queues) as found:
            outcome = await run(found, seed=SEED, requests=REQUESTS, tell=tell)
    assert not outcome.faults, "\n".join(outcome.faults)
    served = {name for (name, status), _ in outcome.statuses.items() if 200 <= status < 300 or status == 101}
    assert served == {target.name for target in found.targets}, outcome.statuses
