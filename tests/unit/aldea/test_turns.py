"""Loops that let others have their turn, and a rule that holds every loop over customers' rows to that."""

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aldea import turns
from aldea.tasks import cancel, spawn
from aldea.turns import in_turns

BACKEND = Path(__file__).resolve().parents[3] / "services" / "backend"
# Functions that go through rows in one piece, because there are few; who reads them says how many at most.
FEW = {
    "projects/handlers.py list_projects": "a person's projects",
    "accounts/handlers.py get_me": "a person's projects",
    "accounts/service.py project_names": "a person's projects",
    "operators/service.py _operated": "a page of projects",
    "operators/service.py _used": "a page of projects",
    "operators/repository.py audio_ms_since": "a page of projects",
    "audit/handlers.py list_audit": "a page of entries",
    "live/service.py of_project": "the newest hundred",
    "live/handlers.py list_live": "the newest hundred",
    "live/handlers.py list_live_lanes": "lanes",
    "keys/handlers.py _made": "the keys that one key made, of a project's that are bounded",
    "keys/repository.py children": "the same",
    "keys/repository.py invites_made_by": "open invites",
    "members/repository.py remove_invites_by": "open invites",
    "changes.py _written": "tables",
    "usage/export.py lines": "days of a period, or a head",
    "usage/service.py by_day": "days of a period",
    "usage/handlers.py get_usage": "days of a period",
    "usage/partitions.py sweep": "months",
    "pipeline/orphans.py sweep": "MAX_ORPHANS",
    "replication/mirrored_rows.py known": "a step of SCAN",
    "pipeline/charges.py reconcile_charges": "the command line's, where nobody else waits",
    "pipeline/rollups.py differences": "the command line's, where nobody else waits",
    "pipeline/charges.py reconcile_spend": "the command line's, where nobody else waits",
    "credits/repository.py with_expired": "ACCOUNTS",
    "credits/expiry.py _expire": "an account's credits, which people grant",
    "fleet/service.py fleet": "the slowest ten",
    "fleet/handlers.py find_keys": "FOUND_KEYS",
    "status/summary.py": "the page's 90 days, or its 20 incidents with their updates",
    "accounts/weak_passwords.py": "rows of a keyboard",
}


def loops() -> set[str]:
    """Where rows are gone through in one piece: a `for` or a comprehension whose variable is called row."""
    found = set()
    for path in sorted(BACKEND.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.comprehension | ast.For) or bool(getattr(node, "is_async", False)):
                    continue
                if isinstance(node.target, ast.Name) and node.target.id == "row":
                    found.add(f"{path.relative_to(BACKEND)} {function.name}")
    return found


def test_rows_without_bound_are_gone_through_in_turns() -> None:
    unbound = {each for each in loops() if each not in FEW and each.partition(" ")[0] not in FEW}
    assert "usage/export.py lines" in loops()
    assert not unbound, f"use aldea.turns.in_turns, or say in FEW how many rows there are at most: {sorted(unbound)}"


@asynccontextmanager
async def another() -> AsyncIterator[list[int]]:
    """Somebody else on the same loop, who counts the own turns."""
    turn = [0]

    async def count() -> None:
        while True:
            turn[0] += 1
            await asyncio.sleep(0)

    task = spawn(count(), name="another")
    try:
        yield turn
    finally:
        await cancel(task)


async def test_others_have_their_turn_between_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0)
    async with another() as turn:
        assert [item async for item in in_turns(range(50))] == list(range(50))
        assert turn[0] >= 50


async def test_short_work_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 3600)
    async with another() as turn:
        assert [item async for item in in_turns(range(50))] == list(range(50))
        assert turn[0] == 0
