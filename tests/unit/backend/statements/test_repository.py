"""Statements are added and read: the statements that would change one do not exist."""

import inspect

from backend.statements import repository


def test_a_statement_is_never_changed() -> None:
    text = inspect.getsource(repository)
    assert "insert into statements" in text
    assert "update " not in text.replace("for no key update", "")
    assert "delete from" not in text
