"""What is shown where Redis and PostgreSQL do not say the same."""

from typing import Any

import pytest

from backend.live import repository
from backend.live.repository import RunningRow
from backend.live.service import LiveService


class Database:
    def connection(self) -> Any:
        class Opened:
            async def __aenter__(self) -> None:
                return None

            async def __aexit__(self, *_: object) -> None:
                return None

        return Opened()


class Leases:
    def __init__(self, count: int | None, held: set[str] | None) -> None:
        self._count, self._held = count, held

    async def count(self, _project_id: str) -> int | None:
        return self._count

    async def held(self, _project_id: str, _request_ids: list[str]) -> set[str] | None:
        return self._held


@pytest.mark.parametrize(
    ("leases", "count", "shown"),
    [
        (Leases(5, {"b"}), 5, ["b"]),
        (Leases(0, set()), 0, []),
        (Leases(None, None), 2, ["a", "b"]),
        (Leases(5, None), 2, ["a", "b"]),
    ],
)
async def test_leases_decide_while_they_can_be_read(
    leases: Any, count: int, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def running(*_: Any) -> list[RunningRow]:
        return [RunningRow(name, 0, "k", "streaming", "live1", "/v1/listen", 0, []) for name in "ab"]

    monkeypatch.setattr(repository, "running", running)
    database: Any = Database()
    found, rows = await LiveService(database, leases).of_project("p")
    assert (found, [row.request_id for row in rows]) == (count, shown)
