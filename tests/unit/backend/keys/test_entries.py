"""From a key's row to what Redis holds of it."""

from typing import Any

from aldea.redis.schema import CredentialRecord
from backend.api.access import SCOPES
from backend.keys.entries import EntryRow, _entry

ROW: dict[str, Any] = {
    "key_id": "k",
    "project_id": "p",
    "sha256": "ab" * 32,
    "scopes": ["usage:write"],
    "tags": [],
    "expires_ms": None,
    "revoked": False,
    "revision": 5,
    "counted_as": "k",
    "requests_per_minute": None,
    "concurrent_streams": None,
    "monthly_audio_seconds": None,
    "monthly_budget_micros": None,
}


def entry(**changes: Any) -> CredentialRecord:
    return CredentialRecord.from_hash(_entry(EntryRow(**ROW | changes)).fields)


def test_a_key_is_named_by_its_hash_and_booked_on_its_id() -> None:
    row = EntryRow(**ROW)
    assert _entry(row).name == "cred:" + "ab" * 32
    assert _entry(row).revision == 5
    assert entry() == CredentialRecord(
        kind="key", state="active", project_id="p", key_id="k", scopes=frozenset({"usage:write"})
    )


def test_a_revoked_key_is_stored_as_revoked() -> None:
    assert entry(revoked=True).state == "revoked"


def test_a_keys_tags_travel_with_it_in_their_order() -> None:
    assert entry(tags=["prod", 'a, "b" ü']).tags == ("prod", 'a, "b" ü')


def test_expiry_is_in_milliseconds_and_roles_are_written_out() -> None:
    assert entry(expires_ms=1_700_000_000_123).expires_ms == 1_700_000_000_123
    assert entry(scopes=["admin"]).scopes == SCOPES


def test_a_keys_limits_are_those_of_the_key_that_it_counts_with() -> None:
    limits = entry(counted_as="first", requests_per_minute=7, monthly_audio_seconds=0).limits
    assert limits is not None
    assert limits.to_text() == "first 7 - 0 -"
    assert entry(counted_as="first").limits is None
