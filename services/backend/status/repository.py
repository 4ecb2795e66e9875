"""The canary's runs and the incidents: statements on the connection that they are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.status.models import CanaryRun, Component, Impact, Progress


@dataclass(frozen=True, slots=True)
class DayRow:
    """A UTC day's runs: how many tried a thing, how many of these were good, and the same of the last minutes alone.

    `*_measured`: how many have a figure; `*_in_time`: in how many it was as promised.
    """

    day: date
    stream: int
    stream_good: int
    stream_now: int
    stream_good_now: int
    upload: int
    upload_good: int
    upload_now: int
    upload_good_now: int
    usage: int
    usage_good: int
    usage_now: int
    usage_good_now: int
    first_words_measured: int
    first_words_in_time: int
    last_words_measured: int
    last_words_in_time: int
    usage_lag_measured: int
    usage_lag_in_time: int


@dataclass(frozen=True, slots=True)
class UpdateRow:
    """An update of an incident, with the incident that it belongs to."""

    incident_id: str
    title: str
    impact: Impact
    components: list[Component]
    began: datetime
    resolved: datetime | None
    at: datetime
    state: Progress
    message: str


@dataclass(frozen=True, slots=True)
class OpenRow:
    """An incident that is to be updated. `updates`: how many it has."""

    resolved: datetime | None
    updates: int


def _counts(component: str) -> str:
    return (
        f"count({component}) as {component}, count(*) filter (where {component}) as {component}_good, "
        f"count({component}) filter (where began > $2) as {component}_now, "
        f"count(*) filter (where {component} and began > $2) as {component}_good_now"
    )


def _in_time(figure: str, promised: str) -> str:
    return (
        f"count({figure}_ms) as {figure}_measured, "
        f"count(*) filter (where {figure}_ms <= {promised}) as {figure}_in_time"
    )


DAYS: Final = Query(
    DayRow,
    f"""
    select (began at time zone 'UTC')::date as day, {_counts("stream")}, {_counts("upload")}, {_counts("usage")},
        {_in_time("first_words", "$3")}, {_in_time("last_words", "$4")}, {_in_time("usage_lag", "$5")}
    from canary_runs where began >= $1 group by 1 order by 1
    """,  # noqa: S608 - constants
)
_SHOWN: Final = "select incident_id::text, title, impact, components, began, resolved, at, state, message"
INCIDENTS: Final = Query(
    UpdateRow,
    f"""
    {_SHOWN} from (
        select * from incidents where resolved is null or resolved > $1
        order by resolved is null desc, incident_id desc limit $2
    ) shown join incident_updates using (incident_id)
    order by resolved is null desc, shown.incident_id desc, update_id desc
    """,  # noqa: S608 - a constant
)
_ONE: Final = Query(
    UpdateRow,
    f"""
    {_SHOWN} from incidents join incident_updates using (incident_id)
    where incident_id = $1 order by update_id desc
    """,
)
_LOCK: Final = Query(
    OpenRow,
    """
    select resolved, (select count(*) from incident_updates where incident_updates.incident_id = incidents.incident_id)
        as updates
    from incidents where incident_id = $1 for no key update
    """,
)


async def days(
    connection: Connection, since: datetime, recent: datetime, first_words: float, last_words: float, usage: float
) -> list[DayRow]:
    """Runs by UTC day, the oldest first. `recent`: where the last minutes begin; then what is promised, in seconds."""
    in_ms = [round(1000 * seconds) for seconds in (first_words, last_words, usage)]
    return await DAYS.all(connection, since, recent, *in_ms)


async def incidents(connection: Connection, since: datetime, limit: int) -> list[UpdateRow]:
    """Open incidents and those resolved since then, open ones first, each of them newest first, with all updates."""
    return await INCIDENTS.all(connection, since, limit)


async def incident(connection: Connection, incident_id: str) -> list[UpdateRow]:
    """One incident with all its updates, the newest first."""
    return await _ONE.all(connection, incident_id)


async def owned_by_operator(connection: Connection, project_id: str) -> bool:
    """Whether an operator of the platform is among a project's owners."""
    return bool(
        await connection.fetchval(
            """
            select exists (
                select from memberships join users using (user_id)
                where project_id = $1 and role = 'owner' and operator)
            """,
            project_id,
        )
    )


async def record(connection: Connection, key_id: str, runs: Sequence[CanaryRun], kept: timedelta) -> int:
    """Store the runs of a key's canary that are new and began within `kept`; how many."""
    # PostgreSQL's clock says which those are: a canary with a wrong one would claim days that are not over.
    columns = ("stream", "upload", "usage", "first_words_ms", "last_words_ms", "usage_lag_ms")
    done = await connection.execute(
        """
        insert into canary_runs (began, key_id, stream, upload, usage, first_words_ms, last_words_ms, usage_lag_ms)
        select to_timestamp(began_ms / 1000.0), $2, stream, upload, usage, first_words_ms, last_words_ms, usage_lag_ms
        from unnest($1::bigint[], $4::boolean[], $5::boolean[], $6::boolean[], $7::integer[], $8::integer[],
            $9::integer[])
            as t (began_ms, stream, upload, usage, first_words_ms, last_words_ms, usage_lag_ms)
        where began_ms between 1000 * extract(epoch from now() - $3::interval)
            and 1000 * extract(epoch from now() + interval '1 minute')
        on conflict do nothing
        """,
        [run.began_ms for run in runs],
        key_id,
        kept,
        *([getattr(run, column) for run in runs] for column in columns),
    )
    return int(done.rpartition(" ")[2])


async def forget_runs(connection: Connection, before: datetime, most: int) -> int:
    """Delete runs that began before; how many."""
    done = await connection.execute(
        """
        delete from canary_runs where (began, key_id) in (
            select began, key_id from canary_runs where began < $1 order by began limit $2 for update skip locked)
        """,
        before,
        most,
    )
    return int(done.rpartition(" ")[2])


async def open_incident(connection: Connection, title: str, impact: Impact, components: Sequence[Component]) -> str:
    """A new incident; its id."""
    return str(
        await connection.fetchval(
            "insert into incidents (title, impact, components) values ($1, $2, $3) returning incident_id::text",
            title,
            impact,
            list(components),
        )
    )


async def lock_incident(connection: Connection, incident_id: str) -> OpenRow | None:
    """An incident, locked for an update."""
    return await _LOCK.first(connection, incident_id)


async def add_update(connection: Connection, incident_id: str, state: Progress, message: str) -> None:
    """Say more of an incident."""
    await connection.execute(
        "insert into incident_updates (incident_id, state, message) values ($1, $2, $3)", incident_id, state, message
    )


async def resolve(connection: Connection, incident_id: str) -> None:
    """Note that an incident is over."""
    await connection.execute("update incidents set resolved = now() where incident_id = $1", incident_id)
