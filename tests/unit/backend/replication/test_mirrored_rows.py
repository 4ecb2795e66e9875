"""Names that are of no row; the look-up itself is tested with a real database."""

from backend.replication.mirrored_rows import _is_uuid, _split


def test_a_projects_name_must_hold_an_id_as_postgresql_writes_it() -> None:
    assert _is_uuid("0190a5e2-0000-7000-8000-00000000000a")
    for text in ("", "p", "0190A5E2-0000-7000-8000-00000000000A", "{0190a5e2-0000-7000-8000-00000000000a}", "é" * 36):
        assert not _is_uuid(text)


def test_names_are_distinguished_and_what_belongs_to_no_row_is_not_queried() -> None:
    project = "0190a5e2-0000-7000-8000-00000000000a"
    names = ["cred:00ff", f"project:{project}", "project:p", "rate:x", f"account:{project}", "account:"]
    assert _split(names) == (["00ff"], [project], [project])
