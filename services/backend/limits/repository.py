"""Limits in PostgreSQL: statements on the connection that they are given."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits by their names; None: none."""

    requests_per_minute: int | None = None
    concurrent_streams: int | None = None
    monthly_audio_seconds: int | None = None
    monthly_budget_micros: int | None = None

    def to_dict(self) -> dict[str, int | None]:
        """The limits by their names."""
        return asdict(self)

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return self != UNLIMITED


UNLIMITED: Final = Limits()


@dataclass(frozen=True, slots=True)
class OfSomebody:
    """The limits of a key or a billing account, and its id."""

    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None
    monthly_budget_micros: int | None
    id: str

    @property
    def limits(self) -> Limits:
        """The limits alone."""
        return Limits(
            self.requests_per_minute, self.concurrent_streams, self.monthly_audio_seconds, self.monthly_budget_micros
        )


@dataclass(frozen=True, slots=True)
class Used:
    """What was used since the beginning of a day."""

    audio_ms: int
    charge_micros: int


_NAMES: Final = "requests_per_minute, concurrent_streams, monthly_audio_seconds, monthly_budget_micros"
_OF_PLAN: Final = Query(
    Limits,
    """
    select requests_per_minute, concurrent_streams, monthly_audio_seconds, null::bigint as monthly_budget_micros
    from projects where project_id = $1 and deleted is null
    """,
)
_OWN: Final = Query(
    Limits,
    """
    select own_requests_per_minute as requests_per_minute, own_concurrent_streams as concurrent_streams,
        own_monthly_audio_seconds as monthly_audio_seconds, monthly_budget_micros
    from projects where project_id = $1 and deleted is null
    """,
)
_OF_ACCOUNT: Final = Query(
    OfSomebody,
    f"""
    select {_NAMES}, account_id::text as id from billing_accounts
    where account_id = (select account_id from projects where project_id = $1 and deleted is null)
    """,  # noqa: S608 - a constant
)
_LOCK_ACCOUNT: Final = Query(OfSomebody, f"{_OF_ACCOUNT.sql} for no key update")
_OF_KEY: Final = Query(
    OfSomebody,
    """
    select limited.requests_per_minute, limited.concurrent_streams, limited.monthly_audio_seconds,
        limited.monthly_budget_micros, limited.key_id::text as id
    from api_keys join api_keys as limited on limited.key_id = coalesce(api_keys.limited_as, api_keys.key_id)
    where api_keys.project_id = $1 and api_keys.key_id = $2
    """,
)
_USED: Final = Query(
    Used,
    """
    select coalesce(sum(audio_ms), 0)::bigint as audio_ms, coalesce(sum(charge_micros), 0)::bigint as charge_micros
    from usage_daily where day >= $2 and project_id in (
        select project_id from projects
        where case when $3 then account_id = (select account_id from projects where project_id = $1)
            else project_id = $1 end)
    """,
)


async def of_plan(connection: Connection, project_id: str) -> Limits | None:
    """What the platform allows a project; None: there is none."""
    return await _OF_PLAN.first(connection, project_id)


async def own(connection: Connection, project_id: str) -> Limits | None:
    """What a project's owners allow it; None: there is none."""
    return await _OWN.first(connection, project_id)


async def of_account(connection: Connection, project_id: str) -> OfSomebody | None:
    """What all projects of a project's account are allowed together."""
    return await _OF_ACCOUNT.first(connection, project_id)


async def lock_account(connection: Connection, project_id: str) -> OfSomebody | None:
    """The same, locked for a change."""
    return await _LOCK_ACCOUNT.first(connection, project_id)


async def of_key(connection: Connection, project_id: str, key_id: str) -> OfSomebody | None:
    """What a key is allowed, and which key's limits these are; None: the project has no such key."""
    return await _OF_KEY.first(connection, project_id, key_id)


async def used(connection: Connection, project_id: str, since: date, *, whole_account: bool) -> Used:
    """What a project used, or all projects of its account."""
    return await _USED.one(connection, project_id, since, whole_account)


async def set_own(connection: Connection, project_id: str, limits: Limits) -> None:
    """Change what a project's owners allow it."""
    await connection.execute(
        """
        update projects set own_requests_per_minute = $2, own_concurrent_streams = $3, own_monthly_audio_seconds = $4,
            monthly_budget_micros = $5, revision = nextval('revisions')
        where project_id = $1
        """,
        project_id,
        *limits.to_dict().values(),
    )


async def set_of_account(connection: Connection, account_id: str, limits: Limits) -> None:
    """Change what all projects of an account are allowed together."""
    await connection.execute(
        """
        update billing_accounts set requests_per_minute = $2, concurrent_streams = $3, monthly_audio_seconds = $4,
            monthly_budget_micros = $5, revision = nextval('revisions')
        where account_id = $1
        """,
        account_id,
        *limits.to_dict().values(),
    )


async def set_of_key(connection: Connection, key_id: str, limits: Limits) -> list[str]:
    """Change what a key is allowed; the keys that this holds for, itself the first."""
    await connection.execute(
        """
        update api_keys set requests_per_minute = $2, concurrent_streams = $3, monthly_audio_seconds = $4,
            monthly_budget_micros = $5, revision = nextval('revisions')
        where key_id = $1
        """,
        key_id,
        *limits.to_dict().values(),
    )
    rows = await connection.fetch(
        "update api_keys set revision = nextval('revisions') where limited_as = $1 returning key_id::text", key_id
    )
    return [key_id, *(str(found["key_id"]) for found in rows)]
