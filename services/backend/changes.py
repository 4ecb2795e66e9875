"""A unit of work: one transaction whose change is audited, notified to every peer, and propagated before the response.

A service says what it changed, each by one call on the unit of work; that call is the audit line, the notification and
the record in Redis at once, so none of the three can be forgotten alone. What was really written is read from
PostgreSQL's own counters: a transaction that wrote a row of which nobody said anything is rolled back.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aldea.postgres import Connection, Database
from backend.alerts import outbox
from backend.alerts.events import of_change
from backend.api.endpoint import Actor
from backend.audit import repository as audit
from backend.credits import accounts
from backend.idempotency.service import note_change
from backend.keys import entries as keys
from backend.projects import repository as projects
from backend.replication.mirror import Entry
from backend.replication.notify import announce
from backend.replication.propagation import Propagation
from backend.tokens import repository as tokens

# Rows inserted, updated and deleted by table that this session has not reported to the statistics yet: at the end of a
# transaction more than at its begin, by what it wrote (what it took back included). Locks are not counted.
_WRITTEN: Final = """
    select relname, pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid)
        + pg_stat_get_xact_tuples_deleted(oid) as rows
    from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
"""

# What is in PostgreSQL alone: neither Redis nor the memory of a peer holds anything of it. Each is a table of its own
# but for accounts and incidents.
Unmirrored = Literal[
    "accounts", "projects", "invites", "password_resets", "alert_endpoints", "alert_deliveries", "incidents"
]

_OF_ACCOUNT: Final = frozenset({"users", "billing_accounts"})
_OF_SEVERAL: Final = {"accounts": _OF_ACCOUNT, "incidents": frozenset({"incidents", "incident_updates"})}
# An entry of the ledger gives its account a new revision (migration 0013).
_OF_LEDGER: Final = frozenset({"ledger_entries", "billing_accounts"})
# Written by triggers, beside what was declared.
_NOTED: Final = frozenset({"alert_moves", "price_announcements"})
_OF_KEY: Final = frozenset({"api_keys"})
_OF_PROJECT: Final = frozenset({"projects", "memberships"})
_IN_PROJECT: Final = frozenset({"api_keys", "session_grants"})
_OF_SESSION: Final = frozenset({"sessions", "session_grants"})
_OF_USER: Final = frozenset({"users", "memberships", "password_resets"}) | _OF_SESSION


class HalfDone(RuntimeError):
    """A transaction wrote what it did not declare, or declared what it did not write: a fault of the program."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the audit log."""

    action: str
    target: str
    project_id: str | None
    detail: Mapping[str, Any]


class UnitOfWork:
    """A transaction under way, and what it has changed so far. `propagated`: after its end, whether Redis knows."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self.connection = connection
        self.actor = actor
        self.propagated = False
        self._lines: list[_Line] = []
        # Dictionaries as ordered sets. A project's value: whether all that it holds changed with it.
        self._projects: dict[str, bool] = {}
        self._keys: dict[str, None] = {}
        self._notified: dict[tuple[str, str], None] = {}
        self._users: dict[str, None] = {}
        # Projects whose billing accounts changed; plans whose prices did.
        self._paying: dict[str, None] = {}
        self._plans: dict[str, None] = {}
        # For each declaration, the tables that the changed rows may be in.
        self._declared: list[frozenset[str]] = []
        self._exempt: set[str] = set()

    def key(self, key_id: str, action: str, *, project_id: str, **detail: Any) -> None:
        """An API key changed."""
        self._keys[key_id] = None
        self._declare("key", key_id, action, project_id, detail, _OF_KEY)

    def project(self, project_id: str, action: str, *, whole: bool = False, **detail: Any) -> None:
        """A project changed, or became somebody's. `whole`: its keys and what sessions grant in it did, too."""
        self._projects[project_id] = self._projects.get(project_id, False) or whole
        tables = _OF_PROJECT | _IN_PROJECT if whole else _OF_PROJECT
        self._declare("project", project_id, action, project_id, detail, tables)

    def user(self, user_id: str, action: str, *, project_id: str | None = None, **detail: Any) -> None:
        """A user changed: password, sessions, rights, or a membership of the project."""
        self._users[user_id] = None
        self._declare("user", user_id, action, project_id, detail, _OF_USER)

    def billing(self, account_id: str, action: str, *, project_id: str, **detail: Any) -> None:
        """The billing account of a project changed: its ledger, its plan or its limit."""
        self._paying[project_id] = None
        self._lines.append(_Line(action, project_id, project_id, detail))
        self._notified["account", account_id] = None
        self._declared.append(_OF_LEDGER)

    def prices(self, plan: str, action: str, target: str, **detail: Any) -> None:
        """A plan's prices changed."""
        self._plans[plan] = None
        self._lines.append(_Line(action, target, None, {"plan": plan, **detail}))
        self._notified["prices", plan] = None
        self._declared.append(frozenset({"prices"}))

    def unmirrored(
        self, what: Unmirrored, action: str, target: str, *, project_id: str | None = None, **detail: Any
    ) -> None:
        """Something changed that is in PostgreSQL alone: an audit line, and nobody to notify."""
        self._lines.append(_Line(action, target, project_id, detail))
        self._declared.append(_OF_SEVERAL.get(what, frozenset({what})))

    def session_ended(self, user_id: str) -> None:
        """A session of a user ended: every peer forgets it, and its tokens end. The service's log has it, no audit."""
        self._users[user_id] = None
        self._notified["user", user_id] = None
        self._declared.append(_OF_SESSION)

    def exempt(self, *tables: str) -> None:
        """Rows of `tables` may change without audit line and notification. The caller's comment says why."""
        self._exempt.update(tables)

    def repeat_project(self, project_id: str) -> None:
        """Write a project's record to Redis once more though it has not changed: Redis may have missed the change."""
        self._projects.setdefault(project_id, False)

    def repeat_keys(self, *key_ids: str) -> None:
        """The same for API keys."""
        self._keys.update(dict.fromkeys(key_ids))

    def _declare(
        self,
        kind: str,
        name: str,
        action: str,
        project_id: str | None,
        detail: Mapping[str, Any],
        tables: frozenset[str],
    ) -> None:
        self._lines.append(_Line(action, name, project_id, detail))
        self._notified[kind, name] = None
        self._declared.append(tables)

    async def seal(self, written: set[str]) -> list[Entry]:
        """Write audit lines and notifications, once nothing else follows; what Redis has to hold after the commit.

        `written`: the tables of which the transaction wrote rows. Raises HalfDone.
        """
        if undeclared := written - self._exempt.union(_NOTED, *self._declared):
            raise HalfDone(f"rows of {sorted(undeclared)} were written, and no change declared that is of them")
        for tables in self._declared:
            if not written & tables:
                raise HalfDone(f"a change in {sorted(tables)} was declared, and no row of these was written")
        for line in self._lines:
            await audit.record(
                self.connection, self.actor, line.action, line.target, project_id=line.project_id, **line.detail
            )
        events = [of_change(line.action, line.target, line.project_id, line.detail) for line in self._lines]
        await outbox.add(self.connection, [event for event in events if event is not None])
        # A limit, a plan or a threshold may be another one now.
        await outbox.look_again(self.connection, {line.project_id for line in self._lines if line.project_id})
        for kind, name in self._notified:
            await announce(self.connection, kind, name)
        if self._declared:
            await note_change(self.connection)
        return await self._entries(written)

    async def _entries(self, written: set[str]) -> list[Entry]:
        """Accounts, projects, keys: what names a record that is not there yet would be refused."""
        entries: list[Entry] = []
        if self._plans:
            entries += await accounts.price_entries(self.connection, list(self._plans))
        if paying := list(self._projects | self._paying):
            entries += await accounts.entries_of_projects(self.connection, paying)
        if self._projects:
            entries += await projects.entries_of_ids(self.connection, list(self._projects))
        for project_id in (project_id for project_id, whole in self._projects.items() if whole):
            entries += await keys.entries_of_project(self.connection, project_id)
            entries += await tokens.entries_of_project(self.connection, project_id)
        if self._keys:
            entries += await keys.entries_of_key(self.connection, *self._keys)
        if "session_grants" in written:
            for user_id in self._users:
                entries += await tokens.entries_of_user(self.connection, user_id)
        return entries


class Changes:
    """Begins units of work. Without `propagation` (on the command line) the running backends write to Redis."""

    def __init__(self, database: Database, propagation: Propagation | None = None) -> None:
        self._database = database
        self._propagation = propagation

    @asynccontextmanager
    async def transaction(self, actor: Actor) -> AsyncIterator[UnitOfWork]:
        """One transaction of `actor`, committed and then propagated at the end of the block.

        Raises DatabaseUnavailable, HalfDone (rolled back).
        """
        async with self._database.transaction() as connection:
            before = await _written(connection)
            change = UnitOfWork(connection, actor)
            yield change
            after = await _written(connection)
            entries = await change.seal({table for table, rows in after.items() if rows != before.get(table, 0)})
        if self._propagation is not None:
            change.propagated = await self._propagation.committed(*entries)


async def _written(connection: Connection) -> dict[str, int]:
    return {row["relname"]: row["rows"] for row in await connection.fetch(_WRITTEN)}
