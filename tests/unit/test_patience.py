"""No wait of a test ends before a slow machine could: a deadline is there against a hang, and a wait that ends is free.

Where the deadline itself is the test, its line says so in a comment, or the TimeoutError is expected. Nor is the tests'
Redis given up as soon as production's, which shares its cores with nobody. And no test keeps the time at which it was
collected, minutes before it runs.
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


def impatient_with_redis(source: str) -> Iterator[int]:
    """The lines that make a link to a real Redis, or settings with one, and leave its deadline as in production."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        words = {word.arg: word.value for word in node.keywords}
        link = getattr(node.func, "id", "") == "RedisLink"
        url = node.args[0] if link and node.args else words.get("redis_url")
        # A URL that is written out is of nobody.
        real = isinstance(url, ast.Name | ast.Attribute | ast.Call)
        patient = {"command_seconds", "redis_command_seconds"} & words.keys() or None in words
        if real and not patient and "#" not in lines[node.lineno - 1]:
            yield node.lineno


def test_no_redis_of_a_test_is_given_up_as_soon_as_productions() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if "RedisLink(" in (text := path.read_text()) or "redis_url=" in text
        for line in impatient_with_redis(text)
    ]
    assert not found, f"use tests.support.proxies.patient_link, or say in a comment why not: {found}"


NOW = {"now", "today", "time", "time_ns", "monotonic", "utcnow"}


def of_the_collection(source: str) -> Iterator[int]:
    """The lines that keep the time at which their module was loaded."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            calls = [node.func for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
            if any(isinstance(called, ast.Attribute) and called.attr in NOW for called in calls):
                yield statement.lineno


def test_no_test_keeps_the_time_at_which_it_was_collected() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in of_the_collection(path.read_text())
    ]
    assert not found, f"take the time in the test or in a fixture, which has it on the day that the test runs: {found}"
    assert list(of_the_collection("A = 1\nB = int(time.time())\nC: date = datetime.now(UTC).date()\n")) == [2, 3]


def test_which_links_are_refused() -> None:
    refused = """
RedisLink(redis_url, probe_seconds=0.05)
read(Settings, redis_url=server.url)
"""
    assert list(impatient_with_redis(refused)) == [2, 3]
    allowed = """
RedisLink(redis_url, command_seconds=5)
RedisLink(f"redis://127.0.0.1:{free_port()}/0")
read(Settings, redis_url=url, redis_command_seconds=1.0)
read(Settings, redis_url="redis://x")
"""
    assert not list(impatient_with_redis(allowed))


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
