"""Prices are added and read: the statements that would change one do not exist."""

import inspect

from backend.prices import repository


def test_a_price_is_never_changed() -> None:
    text = inspect.getsource(repository)
    assert "insert into prices" in text
    assert "update prices" not in text
    assert "delete from prices" not in text
