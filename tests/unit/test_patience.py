"""No wait of a test ends before a slow machine could: a deadline is there against a hang, and a wait that ends is free.

Where the deadline itself is the test, its line says so in a comment, or the TimeoutError is expected.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 60
PERHAPS = re.compile(r"(?:timeout|wait_for|eventually|wait_until)\(")
# By name: which argument is the deadline.
WAITS = {"timeout": 0, "wait_for": 1, "eventually": 1, "wait_until": 1}


def expects_timeout(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and any(
        "raises(TimeoutError" in ast.unparse(item.context_expr) for item in node.items
    )


def is_short(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 < seconds < PATIENCE_SECONDS and seconds is not True


def impatient(source: str) -> Iterator[int]:
    """The lines of waits whose deadline is a number of few seconds, and no comment says why."""
    lines = source.splitlines()

    def look(node: ast.AST) -> Iterator[int]:
        if expects_timeout(node):
            return
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            place = WAITS.get(name)
            given = [] if place is None else [*node.args[place : place + 1], *(word.value for word in node.keywords)]
            explained = "#" in lines[node.lineno - 1]
            if not explained and any(isinstance(value, ast.Constant) and is_short(value.value) for value in given):
                yield node.lineno
        for child in ast.iter_child_nodes(node):
            yield from look(child)

    yield from look(ast.parse(source))


def test_no_wait_ends_before_a_slow_machine_could() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if PERHAPS.search(text := path.read_text())
        for line in impatient(text)
    ]
    assert not found, f"give {PATIENCE_SECONDS} s or more, or say in a comment why it is less: {found}"


def test_what_is_refused_and_what_is_not() -> None:
    refused = """
async with asyncio.timeout(5): ...
await asyncio.wait_for(one, 5)
await eventually(look, seconds=2.5)
"""
    assert list(impatient(refused)) == [2, 3, 4]
    allowed = """
async with asyncio.timeout(60), asyncio.timeout(0), asyncio.timeout(SECONDS): ...
await asyncio.wait_for(one, 5)  # the poll itself would last 20 s
await page.wait_for(state="hidden")
with pytest.raises(TimeoutError):
    await asyncio.wait_for(one, 5)
"""
    assert not list(impatient(allowed))
