"""Readings for the tests of the usage pipeline."""

from typing import Any

from aldea.ids import new_request_id
from aldea.usage import Rank, UsageReading

PROJECT = "11111111-1111-7111-8111-111111111111"
KEY = "22222222-2222-7222-8222-222222222222"
# 2026-03-31 23:59:59.000 UTC: a day and a month end one second later.
STARTED_MS = 1_775_001_599_000


def reading(**changes: Any) -> UsageReading:
    """A reading with an id of its own, changed as told."""
    values: dict[str, Any] = {
        "request_id": new_request_id(),
        "started_ms": STARTED_MS,
        "project_id": PROJECT,
        "key_id": KEY,
        "service": "streaming",
        "lane": "live1",
        "path": "/v1/listen",
        "rank": Rank.OPEN,
        "seq": 1,
        **changes,
    }
    return UsageReading(**values)
