"""Statements as CSV: every line, whatever is the length of a piece."""

from datetime import UTC, date, datetime

import pytest

from backend.statements import handlers
from backend.statements.repository import Entry, Line
from backend.statements.service import Statement

MONTH = date(2026, 11, 1)


def statement(lines: int) -> Statement:
    return Statement(
        month=MONTH,
        closed=True,
        opening_micros=5,
        closing_micros=6,
        entries=[Entry("c", "grant", 7, "=note", datetime(2026, 11, 2, tzinfo=UTC))],
        lines=[Line(f"p{n % 2}", "streaming", "", MONTH, 1, 10, n) for n in range(lines)],
    )


@pytest.mark.parametrize("lines", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("project_id", [None, "p1"])
async def test_a_file_has_every_line_of_its_project(
    lines: int, project_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "PIECE", 2)
    text = b"".join([piece async for piece in handlers._pieces(statement(lines), project_id)]).decode()
    rows = text.splitlines()
    assert rows[1] == "2026-11,opening balance,,,,,,,5,"
    assert rows[2] == "2026-11,grant,2026-11-02,,,,,,7,'=note"
    assert rows[-1] == "2026-11,closing balance,,,,,,,6,"
    assert len(rows) == 4 + (lines if project_id is None else lines // 2)
