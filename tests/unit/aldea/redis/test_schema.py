from dataclasses import replace

import pytest

from aldea.redis import schema
from aldea.redis.schema import AccountRecord, CredentialRecord, ProjectRecord

KEY = CredentialRecord(
    kind="key", state="active", project_id="p", key_id="k", scopes=frozenset({"usage:write", "keys:read"})
)
TOKEN = CredentialRecord(
    kind="token", state="revoked", project_id="p", key_id="k", scopes=frozenset(), expires_ms=0, parent="ab"
)


TAGGED = replace(KEY, tags=("prod", 'a "b" ü'))


@pytest.mark.parametrize("record", [KEY, TOKEN, TAGGED])
def test_a_credential_reads_back_as_it_was_written(record: CredentialRecord) -> None:
    assert CredentialRecord.from_hash(record.to_hash()) == record


@pytest.mark.parametrize("limit", [None, 0, 60])
def test_a_project_reads_back_as_it_was_written_and_no_limit_is_not_zero(limit: int | None) -> None:
    record = ProjectRecord(state="active", requests_per_minute=limit, concurrent_streams=limit, monthly_audio_ms=limit)
    assert ProjectRecord.from_hash(record.to_hash()) == record
    assert ProjectRecord.from_hash(replace(record, account_id="a").to_hash()).account_id == "a"
    # A record of a release before accounts.
    old = {name: value for name, value in record.to_hash().items() if name not in {"balance", "account_id"}}
    assert ProjectRecord.from_hash(old) == record


def test_a_hash_holds_only_text_since_redis_knows_nothing_else() -> None:
    assert all(isinstance(value, str) for value in {**KEY.to_hash(), **TOKEN.to_hash()}.values())


def test_a_record_of_a_release_before_tags_reads_as_one_without() -> None:
    raw = {name: value for name, value in TAGGED.to_hash().items() if name != "tags"}
    assert CredentialRecord.from_hash(raw) == KEY


def test_scopes_are_in_a_stable_order_separated_by_spaces() -> None:
    assert KEY.to_hash()["scopes"] == "keys:read usage:write"


def test_key_names_are_the_documented_ones() -> None:
    assert schema.credential_key("ab") == "cred:ab"
    assert schema.project_key("p") == "project:p"
    assert schema.leases_key("p") == "leases:p"
    assert schema.used_key("p", "202611") == "used:p:202611"
    assert schema.metered_key("r") == "metered:r"
    assert schema.account_key("a") == "account:a"
    assert schema.spent_key("a") == "spent:a"
    assert schema.prices_key("free") == "prices:free"


@pytest.mark.parametrize(
    ("unix_ms", "month"),
    [(0, "197001"), (1_764_547_199_999, "202511"), (1_764_547_200_000, "202512"), (1_767_225_600_000, "202601")],
)
def test_a_month_begins_at_midnight_utc(unix_ms: int, month: str) -> None:
    assert schema.month(unix_ms) == month


def test_an_account_that_was_never_credited_is_not_one_of_nothing() -> None:
    record = AccountRecord(plan="free", granted_micros=None, owed_micros=0)
    empty = {"plan": "free", "granted": "", "owed": "0", "limits": ""}
    assert record.to_hash() == empty
    assert replace(record, granted_micros=0, owed_micros=None).to_hash() == empty | {"granted": "0", "owed": ""}
