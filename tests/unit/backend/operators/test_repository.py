"""What an operator looks for is text, not a pattern."""

from backend.operators.repository import _literal


def test_no_letter_is_a_wildcard() -> None:
    assert _literal(r"50%_\x") == r"50\%\_\\x"
    assert _literal("ann@example.com") == "ann@example.com"
