"""Where a page of the audit log ends."""

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.audit import repository
from backend.audit.repository import AuditRow
from backend.audit.service import AuditService

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Database:
    def connection(self) -> Any:
        class Opened:
            async def __aenter__(self) -> None:
                return None

            async def __aexit__(self, *_: object) -> None:
                return None

        return Opened()


@pytest.mark.parametrize(("stored", "shown", "behind"), [(0, 0, None), (2, 2, None), (3, 2, 1)])
async def test_the_last_page_is_known_by_what_would_follow(
    stored: int, shown: int, behind: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(_connection: Any, _project_id: str, before: int | None, limit: int) -> list[AuditRow]:
        assert before is None
        return [AuditRow(number, NOW, "system", None, "a", "t", "{}", None, None) for number in range(stored)][:limit]

    monkeypatch.setattr(repository, "page", page)
    database: Any = Database()
    rows, found = await AuditService(database).page("p", None, 2)
    assert (len(rows), found) == (shown, behind)
