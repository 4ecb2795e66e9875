"""Every link between the documents leads to a file that exists, and to a heading that is in it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
_CODE: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.*)$", re.MULTILINE)
_TARGETS_ELSEWHERE: Final = ("http:", "https:", "mailto:")


def documents() -> list[str]:
    found = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def prose(path: Path) -> str:
    """A document without its code, in which brackets are no links."""
    return _CODE.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """The fragments that GitHub gives to a document's headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in _HEADING.findall(prose(path))
    }


def broken(path: Path) -> Iterator[str]:
    for link in _LINK.findall(prose(path)):
        if link.startswith(_TARGETS_ELSEWHERE):
            continue
        name, _, fragment = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in anchors(target)):
            yield link


@pytest.mark.parametrize("document", documents())
def test_the_links_of_a_document_lead_somewhere(document: str) -> None:
    assert not list(broken(ROOT / document))


def test_a_link_to_nothing_and_one_to_a_heading_that_is_missing_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `word`\n[a](#one-word) [b](gone.md) [c](page.md#two) ```\n```\n[d](https://example.com)\n")
    assert list(broken(page)) == ["gone.md", "page.md#two"]
