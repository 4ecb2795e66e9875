"""Which rights are written down; that they are given, and suffice, is tested on a real PostgreSQL."""

from backend.schema.roles import BACKEND, FUNCTIONS, SQS_UPDATER, TABLES


def test_the_past_can_only_be_added_to() -> None:
    for table in ("audit_log", "ledger_entries", "prices"):
        assert TABLES[BACKEND][table] == {"SELECT", "INSERT"}


def test_what_is_billed_is_written_by_the_updater_alone() -> None:
    for table in ("usage_requests", "usage_daily"):
        assert TABLES[BACKEND][table] == {"SELECT"}
        assert TABLES[SQS_UPDATER][table] == {"SELECT", "INSERT", "UPDATE"}


def test_the_updater_knows_of_usage_only() -> None:
    written, read = {"usage_requests", "usage_daily", "account_spend"}, {"usage_kept", "prices", "billed_projects"}
    assert TABLES[SQS_UPDATER].keys() == written | read | {"alert_moves"}
    assert TABLES[SQS_UPDATER]["alert_moves"] == {"INSERT"}
    assert all(TABLES[SQS_UPDATER][table] == {"SELECT"} for table in read)
    assert FUNCTIONS[SQS_UPDATER] == ()
