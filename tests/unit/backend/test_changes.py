"""A unit of work: what a declaration leaves, and who may begin a transaction at all."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backend.api.endpoint import SYSTEM
from backend.changes import Changes, HalfDone, UnitOfWork

BACKEND = Path(__file__).resolve().parents[3] / "services" / "backend"
# They read only, or repair what was billed as the owner of the tables, or write what the clock decides in a ledger that
# is only added to.
OTHERS = {
    "usage/service.py",
    "pipeline/rollups.py",
    "pipeline/charges.py",
    "credits/expiry.py",
    "statements/service.py",
    "alerts/schedule.py",
    "alerts/thresholds.py",
    "alerts/worker.py",
}


class Recorder:
    """A database with one connection, on which a transaction writes one row of `table`."""

    def __init__(self, table: str | None = None) -> None:
        self.executed: list[tuple[Any, ...]] = []
        self.committed = False
        self._counts: list[list[dict[str, Any]]] = [[], [] if table is None else [{"relname": table, "rows": 1}]]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Recorder"]:
        yield self
        self.committed = True

    async def fetch(self, _query: str, *_arguments: Any) -> list[dict[str, Any]]:
        return self._counts.pop(0) if self._counts else []

    async def fetchval(self, statement: str, *_arguments: Any) -> int:
        assert "insert into alert_events" in statement
        return 1

    async def execute(self, statement: str, *arguments: Any) -> None:
        if "alert_moves" in statement:
            return
        self.executed.append(("audit" if "audit_log" in statement else "notify", *arguments))


class Propagation:
    def __init__(self) -> None:
        self.calls = 0

    async def committed(self, *_entries: Any) -> bool:
        self.calls += 1
        return True


async def run(recorder: Any, propagation: Any, declare: Any) -> UnitOfWork:
    async with Changes(recorder, propagation).transaction(SYSTEM) as change:
        declare(change)
    return change


async def test_a_declaration_is_an_audit_line_and_a_notification_and_is_propagated_after_the_commit() -> None:
    recorder, propagation = Recorder("api_keys"), Propagation()
    change = await run(recorder, propagation, lambda it: it.key("k", "key.revoke", project_id="p", comment="c"))
    audited, notified = recorder.executed
    assert audited == ("audit", "p", "system", None, "key.revoke", "k", '{"comment":"c"}', None)
    assert notified == ("notify", "platform_changes", "key:k")
    assert recorder.committed
    assert change.propagated
    assert propagation.calls == 1


async def test_on_the_command_line_nothing_is_written_to_redis() -> None:
    assert not (await run(Recorder("users"), None, lambda it: it.user("u", "operator.appoint"))).propagated


@pytest.mark.parametrize(
    ("table", "declare"),
    [
        ("api_keys", lambda _: None),
        ("api_keys", lambda it: it.project("p", "project.limits")),
        ("api_keys", lambda it: it.user("u", "member.remove")),
        ("session_grants", lambda it: it.project("p", "project.limits")),
        ("ledger_entries", lambda it: it.unmirrored("invites", "invite.create", "a@example.com")),
        ("audit_log", lambda _: None),
        (None, lambda it: it.key("k", "key.revoke", project_id="p")),
        (None, lambda it: it.session_ended("u")),
    ],
)
async def test_what_is_half_done_is_neither_committed_nor_propagated(table: str | None, declare: Any) -> None:
    recorder, propagation = Recorder(table), Propagation()
    with pytest.raises(HalfDone):
        await run(recorder, propagation, declare)
    assert (recorder.executed, recorder.committed, propagation.calls) == ([], False, 0)


async def test_a_transaction_that_changes_nothing_leaves_nothing() -> None:
    recorder = Recorder()
    await run(recorder, None, lambda it: it.repeat_project("p"))
    assert recorder.executed == []


def test_nothing_else_changes_rows_audits_or_notifies() -> None:
    found: dict[str, set[str]] = {}
    for path in BACKEND.rglob("*.py"):
        for called in re.findall(
            r"[\w.]*(?:\(database\))?\.transaction\(|\bannounce\(|\baudit\.record\(", path.read_text()
        ):
            found.setdefault(called, set()).add(str(path.relative_to(BACKEND)))
    begun = {name for called, names in found.items() if called.endswith("database.transaction(") for name in names}
    assert begun == OTHERS | {"changes.py"}
    units = {"self._changes.transaction(", "Changes(database).transaction("}
    databases = {"self._database.transaction(", "database.transaction("}
    savepoint = "connection.transaction("  # within a unit of work
    assert found.keys() == units | databases | {"announce(", "audit.record(", savepoint}
    assert found[savepoint] == {"accounts/repository.py"}
    assert found["announce("] == {"changes.py", "replication/notify.py"}
    assert found["audit.record("] == {"changes.py"}
