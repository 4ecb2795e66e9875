"""An entry of the audit log as it is shown."""

from datetime import UTC, datetime

from backend.audit.handlers import _entry
from backend.audit.repository import AuditRow


def test_an_entry_shows_its_actor_and_its_detail_as_json() -> None:
    row = AuditRow(
        audit_id=1, at=datetime(2026, 1, 2, tzinfo=UTC), actor_kind="key", actor_id="k", actor_name="robot",
        action="key.create", target="k2", detail='{"scopes":["a"]}', request_id=None,
    )  # fmt: skip
    entry = _entry(row)
    assert entry.actor.model_dump() == {"kind": "key", "id": "k", "name": "robot"}
    assert entry.detail == {"scopes": ["a"]}
