"""What the response shows of a new key."""

from datetime import UTC, datetime
from typing import Any

from backend.keys.handlers import _created
from backend.keys.service import NewKey
from backend.limits.repository import UNLIMITED

NEW: Any = {
    "key_id": "k", "text": "org_text", "comment": "c", "scopes": ["usage:write"], "tags": ["t"],
    "created": datetime(2026, 1, 2, tzinfo=UTC), "expires": None,
    "limits": UNLIMITED, "limited_as": None,
}  # fmt: skip


def test_a_new_key_says_whether_the_proxies_know_it() -> None:
    assert _created(NewKey(**NEW, propagated=True))["propagation"] == "complete"
    assert _created(NewKey(**NEW))["propagation"] == "pending"
    assert _created(NewKey(**NEW))["key"] == "org_text"
