"""docs/architecture.md walks through the code by file and function: each of those names still exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
# A file in backquotes and, behind it in brackets, the names of it that the walk passes.
MENTION = re.compile(r"`([\w./]+\.(?:py|lua))`(?:\s*\(([^)]*)\))?")


def files(name: str) -> list[Path]:
    """The files of the repository that a name means; below services/ unless it says otherwise."""
    for folder in (ROOT, ROOT / "services"):
        if (folder / name).is_file():
            return [folder / name]
    return [path for path in (ROOT / "services").rglob(Path(name).name) if str(path).endswith(f"/{name}")]


def mentions() -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for name, inside in MENTION.findall(TEXT):
        # Files in the brackets are mentions of their own.
        names = [each for each in re.findall(r"`([\w.]+)`", inside) if not each.endswith((".py", ".lua"))]
        found.append((name, tuple(names)))
    found += [(name, ()) for name in re.findall(r"`([\w./]+\.(?:py|lua))`", TEXT)]
    return sorted(set(found))


@pytest.mark.parametrize(("name", "inside"), mentions(), ids=lambda each: each if isinstance(each, str) else "")
def test_a_file_and_its_names_exist(name: str, inside: tuple[str, ...]) -> None:
    paths = files(name)
    assert paths, f"{name} is nowhere in the repository"
    for each in inside:
        *owner, last = each.split(".")
        texts = [path.read_text() for path in paths]
        for word in (*owner, last):
            pattern = rf"^\s*(?:async )?(?:def|class) {re.escape(word)}\b"
            assert any(re.search(pattern, text, re.MULTILINE) for text in texts), f"{name} has no {each}"


def test_the_walk_names_enough_to_be_one() -> None:
    assert len(mentions()) > 30
    assert sum(len(inside) for _, inside in mentions()) > 20
