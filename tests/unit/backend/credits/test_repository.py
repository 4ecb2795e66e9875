"""Credits are added and read: the statements that would change one do not exist."""

import inspect

from backend.credits import repository


def test_a_credit_is_never_changed() -> None:
    text = inspect.getsource(repository)
    assert "insert into ledger_entries" in text
    assert "update ledger_entries" not in text
    assert "delete from" not in text
