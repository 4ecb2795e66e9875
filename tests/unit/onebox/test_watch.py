import asyncio
import io
from pathlib import Path

import pytest

from aldea.tasks import cancel, spawn
from onebox.console import Console
from onebox.watch import SERVICES_FOLDER, concerned, look, restart_changed

SERVICES = ["ws_proxy", "backend", "frontend"]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"backend/app.py": 1}, {"backend/app.py": 1}, []),
        ({"backend/app.py": 1}, {"backend/app.py": 2}, ["backend"]),
        ({}, {"frontend/templates/new.html": 1}, ["frontend"]),
        ({"ws_proxy/old.py": 1}, {}, ["ws_proxy"]),
        ({"aldea/log.py": 1}, {"aldea/log.py": 2}, SERVICES),
        ({"backend/a.py": 1, "ws_proxy/b.py": 1}, {"backend/a.py": 2, "ws_proxy/b.py": 2}, ["ws_proxy", "backend"]),
        ({"stt_api/app.py": 1}, {"stt_api/app.py": 2}, []),
    ],
)
def test_the_services_whose_code_changed(before: dict[str, int], now: dict[str, int], expected: list[str]) -> None:
    assert concerned(before, now, SERVICES) == expected


def test_only_what_a_service_reads_is_looked_at(tmp_path: Path) -> None:
    for name in ("app.py", "page.html", "app.pyc", "notes.txt", ".#app.py"):
        (tmp_path / name).write_text("")
    assert set(look(tmp_path)) == {"app.py", "page.html"}


def test_a_file_of_every_service_is_seen() -> None:
    assert {path.partition("/")[0] for path in look(SERVICES_FOLDER)} >= {"aldea", "backend", "frontend", "stt_api"}


async def test_a_changed_service_is_started_again(tmp_path: Path) -> None:
    source = tmp_path / "backend" / "app.py"
    source.parent.mkdir()
    source.write_text("first")
    restarted: asyncio.Queue[str] = asyncio.Queue()
    stream = io.StringIO()
    watching = spawn(restart_changed(SERVICES, restarted.put, Console(stream=stream), tmp_path), name="watching")
    try:
        async with asyncio.timeout(60):
            while restarted.empty():
                source.write_text(source.read_text() + "x")
                await asyncio.sleep(0.05)
        assert await restarted.get() == "backend"
    finally:
        await cancel(watching)
