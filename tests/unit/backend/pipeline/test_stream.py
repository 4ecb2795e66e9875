from backend.pipeline.packing import Entry
from backend.pipeline.stream import to_entries


def test_entries_are_read_as_redis_returns_them() -> None:
    raw = [[b"1-0", [b"r", b"{}"]], [b"2-0", [b"x", b"1", b"r", b"{}"]], [b"3-0", [b"x", b"1"]]]
    assert to_entries(raw) == [Entry(b"1-0", b"{}"), Entry(b"2-0", b"{}"), Entry(b"3-0", None)]


def test_entries_that_were_deleted_while_pending_are_passed_over() -> None:
    assert to_entries([None, [b"1-0", None]]) == []


def test_an_entry_knows_when_redis_took_it() -> None:
    assert Entry(b"1775001599000-12", b"").written_ms == 1_775_001_599_000
