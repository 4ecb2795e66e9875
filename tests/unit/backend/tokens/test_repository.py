"""What Redis holds of what a session grants by."""

from typing import Any

from aldea.redis.schema import CredentialRecord
from backend.tokens.repository import GrantRow, _entry

ROW: dict[str, Any] = {
    "sha256": "ab" * 32,
    "user_id": "u",
    "project_id": "p",
    "expires_ms": 1_000_000,
    "revoked": False,
    "revision": 4,
}


def record(**changes: Any) -> CredentialRecord:
    return CredentialRecord.from_hash(_entry(GrantRow(**ROW | changes)).fields)


def test_it_opens_nothing_itself_and_ends_with_the_session() -> None:
    assert record() == CredentialRecord(
        kind="session", state="active", project_id="p", key_id="u", scopes=frozenset(), expires_ms=1_000_000
    )
    assert record(revoked=True).state == "revoked"


def test_redis_keeps_it_long_enough_for_every_stream_to_learn_of_its_end_and_then_forgets_it() -> None:
    until = _entry(GrantRow(**ROW)).until_ms
    assert until is not None
    assert 60_000 < until - ROW["expires_ms"] <= 86_400_000
