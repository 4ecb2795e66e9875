"""What is sent to Redis, as far as it needs none."""

import json

from aldea.redis.schema import CredentialRecord, ProjectRecord
from backend.replication import mirror
from backend.replication.mirror import Entry, _batches


def test_an_entry_carries_name_revision_and_fields() -> None:
    record = CredentialRecord(kind="key", state="active", project_id="p", key_id="k", scopes=frozenset({"a", "b"}))
    entry = Entry.credential("00ff", 7, record)
    assert entry.name == "cred:00ff"
    sent = json.loads(entry.to_json())
    assert sent["revision"] == 7
    assert CredentialRecord.from_hash(sent["fields"]) == record
    assert "until_ms" not in sent


def test_an_entry_that_redis_may_forget_says_when() -> None:
    record = CredentialRecord(kind="session", state="active", project_id="p", key_id="u", scopes=frozenset())
    assert json.loads(Entry.credential("00ff", 7, record, until_ms=12).to_json())["until_ms"] == 12


def test_a_project_without_limits_is_sent_with_empty_fields() -> None:
    record = ProjectRecord(state="active", requests_per_minute=None, concurrent_streams=None, monthly_audio_ms=None)
    entry = Entry.project("p", 1, record)
    assert entry.name == "project:p"
    assert ProjectRecord.from_hash(entry.fields) == record


def test_records_go_in_bounded_batches_and_none_is_lost() -> None:
    entries = [Entry(str(number), number, {}) for number in range(2 * mirror.BATCH + 1)]
    batches = _batches(entries)
    assert [len(batch) for batch in batches] == [mirror.BATCH, mirror.BATCH, 1]
    assert [entry for batch in batches for entry in batch] == entries
