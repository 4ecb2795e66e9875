"""The projects' tables: statements on the connection that they are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from aldea.postgres import Connection
from aldea.redis.schema import ProjectRecord
from aldea.rows import Query
from aldea.turns import in_turns
from backend.operators.models import ProjectState
from backend.replication.mirror import Entry


@dataclass(frozen=True, slots=True)
class Named:
    """A project in a list."""

    project_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Limited:
    """A project's state and limits (None: none)."""

    state: ProjectState
    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None

    @property
    def limits(self) -> dict[str, int | None]:
        """The limits by their names."""
        return {
            "requests_per_minute": self.requests_per_minute,
            "concurrent_streams": self.concurrent_streams,
            "monthly_audio_seconds": self.monthly_audio_seconds,
        }


@dataclass(frozen=True, slots=True)
class ProjectRow(Limited):
    """A project and how it is named."""

    project_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Used:
    """What a project used."""

    project_id: str
    audio_ms: int


@dataclass(frozen=True, slots=True)
class EntryRow:
    """What a project's record in Redis is made of: of plan and owner the smaller limits."""

    project_id: str
    state: ProjectState
    deleted: bool
    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None
    account_id: str
    revision: int
    monthly_budget_micros: int | None


_BY_IDS: Final = Query(
    Named,
    """
    select project_id::text, name from projects
    where project_id = any($1::uuid[]) and deleted is null order by project_id
    """,
)
_BY_ID: Final = Query(
    ProjectRow,
    """
    select state, requests_per_minute, concurrent_streams, monthly_audio_seconds, project_id::text, name
    from projects where project_id = $1 and deleted is null
    """,
)
_AUDIO_SINCE: Final = Query(
    Used, "select project_id::text, sum(audio_ms)::bigint as audio_ms from usage_daily where day >= $1 group by 1"
)
_ENTRY: Final = """
    select project_id::text, state, deleted is not null as deleted,
        least(requests_per_minute, own_requests_per_minute) as requests_per_minute,
        least(concurrent_streams, own_concurrent_streams) as concurrent_streams,
        least(monthly_audio_seconds, own_monthly_audio_seconds) as monthly_audio_seconds, account_id::text, revision,
        monthly_budget_micros
    from projects
"""
_ENTRIES_OF_IDS: Final = Query(EntryRow, f"{_ENTRY} where project_id = any($1::uuid[])")
_PAGE_OF_ENTRIES: Final = Query(
    EntryRow, f"{_ENTRY} where $1::uuid is null or project_id > $1 order by project_id limit $2"
)


async def insert(
    connection: Connection,
    name: str,
    user_id: str,
    *,
    requests_per_minute: int | None,
    concurrent_streams: int | None,
    monthly_audio_seconds: int | None,
) -> str:
    """A new project that belongs to the user's billing account; its id.

    The account's first project limits the account's audio of a month, too: another project brings no more.
    """
    await connection.execute(
        """
        update billing_accounts as account set monthly_audio_seconds = $2, revision = nextval('revisions')
        where owner_id = $1 and monthly_audio_seconds is null and $2::bigint is not null
            and not exists (select from projects where projects.account_id = account.account_id)
        """,
        user_id,
        monthly_audio_seconds,
    )
    return str(
        await connection.fetchval(
            """
            insert into projects (name, account_id, requests_per_minute, concurrent_streams, monthly_audio_seconds)
            select $1, account_id, $3, $4, $5 from billing_accounts where owner_id = $2
            returning project_id::text
            """,
            name,
            user_id,
            requests_per_minute,
            concurrent_streams,
            monthly_audio_seconds,
        )
    )


async def insert_membership(connection: Connection, project_id: str, user_id: str, role: str) -> None:
    """Make a user a member; one who is already keeps their role."""
    await connection.execute(
        "insert into memberships (project_id, user_id, role) values ($1, $2, $3) on conflict do nothing",
        project_id,
        user_id,
        role,
    )


async def lock(connection: Connection, project_id: str) -> bool:
    """Let no other change of the project's keys, members and invites happen until the end of the transaction.

    False: no such project.
    """
    found = await connection.fetchval(
        "select true from projects where project_id = $1 and deleted is null for no key update", project_id
    )
    return bool(found)


async def owned_by(connection: Connection, user_id: str) -> int:
    """How many projects a user owns. Locks the user, so that two creations count one after the other."""
    await connection.execute("select 1 from users where user_id = $1 for update", user_id)
    return int(
        await connection.fetchval(
            """
            select count(*) from memberships join projects using (project_id)
            where user_id = $1 and role = 'owner' and deleted is null
            """,
            user_id,
        )
    )


async def owned_by_name(connection: Connection, user_id: str, name: str) -> str | None:
    """The oldest project of this name that the user owns."""
    found = await connection.fetchval(
        """
        select project_id::text from memberships join projects using (project_id)
        where user_id = $1 and role = 'owner' and name = $2 and deleted is null order by project_id limit 1
        """,
        user_id,
        name,
    )
    return None if found is None else str(found)


async def by_ids(connection: Connection, project_ids: Sequence[str]) -> list[Named]:
    """The projects of these ids that exist, oldest first."""
    return await _BY_IDS.all(connection, list(project_ids))


async def by_id(connection: Connection, project_id: str) -> ProjectRow | None:
    """A project that exists."""
    return await _BY_ID.first(connection, project_id)


async def rename(connection: Connection, project_id: str, name: str) -> str | None:
    """Give a project another name; the one it had, None if there is no such project."""
    before = await connection.fetchval(
        "update projects set name = $2 where project_id = $1 and deleted is null returning old.name", project_id, name
    )
    return None if before is None else str(before)


async def set_deleted(connection: Connection, project_id: str) -> bool:
    """Delete a project: it stays as a row that usage and audit name. False if there is none."""
    done = await connection.fetchval(
        """
        update projects set deleted = now(), revision = nextval('revisions')
        where project_id = $1 and deleted is null returning true
        """,
        project_id,
    )
    return bool(done)


async def set_limits(
    connection: Connection,
    project_id: str,
    *,
    state: str,
    requests_per_minute: int | None,
    concurrent_streams: int | None,
    monthly_audio_seconds: int | None,
) -> None:
    """Change state and limits."""
    await connection.execute(
        """
        update projects set state = $2, requests_per_minute = $3, concurrent_streams = $4, monthly_audio_seconds = $5,
            revision = nextval('revisions')
        where project_id = $1 and deleted is null
        """,
        project_id,
        state,
        requests_per_minute,
        concurrent_streams,
        monthly_audio_seconds,
    )


async def audio_ms_since(connection: Connection, day: date) -> dict[str, int]:
    """Billed audio by project since the beginning of this UTC day, milliseconds."""
    return {used.project_id: used.audio_ms async for used in in_turns(await _AUDIO_SINCE.all(connection, day))}


async def entries_of(connection: Connection, project_id: str) -> list[Entry]:
    """What Redis holds of one project."""
    return await entries_of_ids(connection, [project_id])


async def entries_of_ids(connection: Connection, project_ids: Sequence[str]) -> list[Entry]:
    """What Redis holds of the projects of these ids."""
    return await _entries(await _ENTRIES_OF_IDS.all(connection, list(project_ids)))


async def page_of_entries(connection: Connection, after: str | None, limit: int) -> tuple[list[Entry], str | None]:
    """A page of what Redis holds of all projects, and where the next one begins (None: this was the last)."""
    rows = await _PAGE_OF_ENTRIES.all(connection, after, limit)
    return await _entries(rows), (rows[-1].project_id if len(rows) == limit else None)


async def _entries(rows: Sequence[EntryRow]) -> list[Entry]:
    return [_entry(row) async for row in in_turns(rows)]


def _entry(row: EntryRow) -> Entry:
    seconds = row.monthly_audio_seconds
    record = ProjectRecord(
        # To the proxies a deleted project is a suspended one.
        state="suspended" if row.deleted else row.state,
        requests_per_minute=row.requests_per_minute,
        concurrent_streams=row.concurrent_streams,
        monthly_audio_ms=None if seconds is None else seconds * 1000,
        account_id=row.account_id,
        monthly_budget_micros=row.monthly_budget_micros,
    )
    return Entry.project(row.project_id, row.revision, record)
