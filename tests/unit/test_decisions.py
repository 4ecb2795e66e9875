"""docs/decisions/README.md lists every decision once, with its status."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
ROW = re.compile(r"^\| \d{4}-\d\d-\d\d \| \[[^\]]+\]\(([\w.-]+)\) \| (in force|replaced by \[[^\]]+\]\([\w.-]+\)) \|$")


def test_every_decision_is_in_the_index_once_with_its_status() -> None:
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| 20")]
    listed = [found[1] if (found := ROW.match(row)) else f"not a row: {row}" for row in rows]
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.md") if path.name != "README.md")
