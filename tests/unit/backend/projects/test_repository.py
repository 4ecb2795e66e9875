"""From a project's row to what Redis holds of it."""

from typing import Any

from aldea.redis.schema import ProjectRecord
from backend.projects.repository import EntryRow, _entry

ROW: dict[str, Any] = {
    "project_id": "p",
    "state": "active",
    "deleted": False,
    "requests_per_minute": 60,
    "concurrent_streams": None,
    "monthly_audio_seconds": 90,
    "account_id": "a",
    "revision": 3,
    "monthly_budget_micros": None,
}


def entry(**changes: Any) -> ProjectRecord:
    return ProjectRecord.from_hash(_entry(EntryRow(**ROW | changes)).fields)


def test_seconds_become_milliseconds_and_null_stays_no_limit() -> None:
    assert entry() == ProjectRecord(
        state="active", requests_per_minute=60, concurrent_streams=None, monthly_audio_ms=90_000, account_id="a"
    )
    assert entry(monthly_audio_seconds=None).monthly_audio_ms is None


def test_a_limit_of_nothing_is_not_no_limit() -> None:
    assert entry(monthly_audio_seconds=0).monthly_audio_ms == 0


def test_a_deleted_project_is_suspended_to_the_proxies() -> None:
    assert entry(deleted=True).state == "suspended"
    assert entry(state="suspended").state == "suspended"


def test_a_budget_is_part_of_the_record() -> None:
    assert entry(monthly_budget_micros=0).monthly_budget_micros == 0
