"""Every snippet of docs/clients.md is run: by its name, or as lines of a program that `make clients` runs."""

import re
from pathlib import Path

from tests.clients.__main__ import HERE, TOOLCHAINS

ROOT = HERE.parent.parent
TEXT = (ROOT / "docs" / "clients.md").read_text()
# What is between two fences, and the code.
BLOCKS = re.findall(r"((?:(?!```).)*)```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PROGRAM = re.compile(r"`(tests/clients/[\w./-]+)`")


def lines(text: str) -> set[str]:
    """What is on its lines, without what indentation and names in front of it add."""
    return {line.strip() for line in text.splitlines() if line.strip()}


def test_a_snippet_has_a_name_or_its_lines_are_in_the_program_that_is_named_before_it() -> None:
    seen: set[str] = set()
    near: list[str] = []
    for before, language, code in BLOCKS:
        near = PROGRAM.findall(before) or near
        if code.startswith(("# ", "// ")):
            continue
        assert near, code
        seen |= set(near)
        known = {part for path in near for part in lines((ROOT / path).read_text())}
        missing = [line for line in sorted(lines(code)) if not any(part.endswith(line) for part in known)]
        assert not missing, f"{near}, {language}: {missing}"
    assert len(seen) >= 9


def test_each_program_that_is_named_is_one_that_is_run() -> None:
    run = {
        argument for toolchain in TOOLCHAINS.values() for command in toolchain.clients.values() for argument in command
    }
    for path in PROGRAM.findall(TEXT):
        name = Path(path).name
        assert name in run or path.startswith(("tests/clients/go/", "tests/clients/rust/")), path
        assert (ROOT / path).is_file()
