"""Credits are added and read: the statements that would change one do not exist."""

import ast
import inspect

from backend.credits import repository


def test_a_credit_is_never_changed() -> None:
    functions = [node.name for node in ast.parse(inspect.getsource(repository)).body if hasattr(node, "name")]
    assert functions == ["insert", "by_id", "newest"]
    assert "update credits" not in inspect.getsource(repository)
    assert "delete from credits" not in inspect.getsource(repository)
