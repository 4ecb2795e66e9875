"""From an account's row to what Redis holds of it; the statements are tested on a real PostgreSQL."""

from typing import Any

import pytest

from backend.credits.accounts import Account, _entry

ROW: dict[str, Any] = {
    "account_id": "a", "plan": "prepaid", "credit_limit_micros": None, "revision": 3, "granted_micros": 5,
    "requests_per_minute": None, "concurrent_streams": None, "monthly_audio_seconds": None,
    "monthly_budget_micros": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "owed"),
    [
        ({}, "0"),
        ({"plan": "free", "credit_limit_micros": 7}, "0"),
        ({"plan": "postpaid"}, ""),
        ({"plan": "postpaid", "credit_limit_micros": 7}, "7"),
        ({"plan": "postpaid", "credit_limit_micros": 0}, "0"),
    ],
)
def test_only_who_pays_afterwards_may_owe(changes: dict[str, Any], owed: str) -> None:
    entry = _entry(Account(**{**ROW, **changes}))
    assert (entry.name, entry.revision, entry.fields["owed"]) == ("account:a", 3, owed)
