"""Webhooks, events, and what an account is notified of: statements on the connection that they are given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.alerts.events import Type


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook. `types`: None: all. `failing_since`: of its first failure since its last success."""

    endpoint_id: str
    project_id: str
    url: str
    description: str
    types: list[Type] | None
    created: datetime
    failing_since: datetime | None
    disabled: datetime | None


@dataclass(frozen=True, slots=True)
class Signing:
    """Where a delivery goes, and what it is signed with. `former`: good beside it, None: no more."""

    url: str
    project_id: str
    secret: str
    former: str | None
    disabled: bool


@dataclass(frozen=True, slots=True)
class Failing:
    """A webhook that fails. `too_long`: for so long that it is disabled."""

    endpoint_id: str
    project_id: str
    url: str
    failing_since: datetime
    too_long: bool


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a mail is for, and the project that it is about."""

    email: str
    project: str | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event. `data`: JSON."""

    event_id: str
    type: Type
    project_id: str | None
    created: datetime
    data: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Below which balances an account's people are notified, in micro-dollars."""

    account_id: str
    balance_thresholds: list[int]


_COLUMNS: Final = "endpoint_id::text, project_id::text, url, description, types, created, failing_since, disabled"
_LIST: Final = Query(
    WebhookRow,
    f"select {_COLUMNS} from alert_endpoints where project_id = $1 order by endpoint_id",  # noqa: S608 - a constant
)
_GET: Final = Query(
    WebhookRow,
    f"select {_COLUMNS} from alert_endpoints where project_id = $1 and endpoint_id = $2",  # noqa: S608 - a constant
)
_INSERT: Final = Query(
    WebhookRow,
    f"""
    insert into alert_endpoints (project_id, url, description, types, secret) values ($1, $2, $3, $4, $5)
    returning {_COLUMNS}
    """,  # noqa: S608 - a constant
)
_CHANGE: Final = Query(
    WebhookRow,
    f"""
    update alert_endpoints set url = $3, description = $4, types = $5,
        disabled = case when $6 then null else coalesce(disabled, now()) end,
        failing_since = case when $6 and disabled is null then failing_since end
    where project_id = $1 and endpoint_id = $2 returning {_COLUMNS}
    """,  # noqa: S608 - a constant
)
_SIGNING: Final = Query(
    Signing,
    """
    select url, project_id::text, secret, case when former_until > now() then former_secret end as former,
        disabled is not null as disabled
    from alert_endpoints where endpoint_id = $1
    """,
)
_FAILED: Final = Query(
    Failing,
    """
    update alert_endpoints set failing_since = coalesce(failing_since, now())
    where endpoint_id = $1 and disabled is null
    returning endpoint_id::text, project_id::text, url, failing_since,
        failing_since < now() - $2::float8 * interval '1 s' as too_long
    """,
)
_RECIPIENT: Final = Query(
    Recipient,
    """
    select email, (select name || ' (' || project_id || ')' from projects where project_id = $2) as project
    from users where user_id = $1
    """,
)
_EVENTS: Final = Query(
    EventRow,
    """
    select event_id::text, type, project_id::text, created, data::text from alert_events
    where (project_id = $1 or (project_id is null and account_id = (
        select account_id from projects where projects.project_id = $1)))
        and ($2::uuid is null or event_id < $2)
    order by event_id desc limit $3
    """,
)
_THRESHOLDS: Final = Query(
    Thresholds, "select account_id::text, balance_thresholds from billing_accounts where owner_id = $1"
)
_SET_THRESHOLDS: Final = Query(
    Thresholds,
    """
    update billing_accounts set balance_thresholds = $2::bigint[] where owner_id = $1
    returning account_id::text, balance_thresholds
    """,
)


async def webhooks(connection: Connection, project_id: str) -> list[WebhookRow]:
    """A project's webhooks, oldest first."""
    return await _LIST.all(connection, project_id)


async def webhook(connection: Connection, project_id: str, endpoint_id: str) -> WebhookRow | None:
    """One webhook of a project."""
    return await _GET.first(connection, project_id, endpoint_id)


async def insert(
    connection: Connection, project_id: str, url: str, description: str, types: Sequence[Type] | None, secret: str
) -> WebhookRow:
    """A new webhook."""
    return await _INSERT.one(connection, project_id, url, description, None if types is None else list(types), secret)


async def change(
    connection: Connection,
    project_id: str,
    endpoint_id: str,
    *,
    url: str,
    description: str,
    types: Sequence[Type] | None,
    enabled: bool,
) -> WebhookRow:
    """Change a webhook that the caller has found. One that is enabled again has not failed yet."""
    return await _CHANGE.one(
        connection, project_id, endpoint_id, url, description, None if types is None else list(types), enabled
    )


async def rotate(connection: Connection, endpoint_id: str, secret: str, overlap_seconds: float) -> None:
    """Give a webhook another secret; the one it had signs, too, for the overlap."""
    await connection.execute(
        """
        update alert_endpoints set secret = $2, former_secret = secret,
            former_until = now() + $3::float8 * interval '1 s'
        where endpoint_id = $1
        """,
        endpoint_id,
        secret,
        overlap_seconds,
    )


async def delete(connection: Connection, endpoint_id: str) -> None:
    """Delete a webhook."""
    await connection.execute("delete from alert_endpoints where endpoint_id = $1", endpoint_id)


async def signing(connection: Connection, endpoint_id: str) -> Signing | None:
    """Where a webhook's deliveries go; None: it was deleted."""
    return await _SIGNING.first(connection, endpoint_id)


async def succeeded(connection: Connection, endpoint_id: str) -> None:
    """A webhook has responded well."""
    await connection.execute(
        "update alert_endpoints set failing_since = null where endpoint_id = $1 and failing_since is not null",
        endpoint_id,
    )


async def failed(connection: Connection, endpoint_id: str, most_seconds: float) -> Failing | None:
    """A webhook has failed; None: it is disabled already, or was deleted."""
    return await _FAILED.first(connection, endpoint_id, most_seconds)


async def disable(connection: Connection, endpoint_id: str) -> None:
    """Send nothing to a webhook any more."""
    await connection.execute(
        "update alert_endpoints set disabled = now() where endpoint_id = $1 and disabled is null", endpoint_id
    )


async def recipient(connection: Connection, user_id: str, project_id: str | None) -> Recipient | None:
    """Whom a mail is for, as they are called now."""
    return await _RECIPIENT.first(connection, user_id, project_id)


async def events(connection: Connection, project_id: str, before: str | None, limit: int) -> list[EventRow]:
    """A project's events and its account's, newest first."""
    return await _EVENTS.all(connection, project_id, before, limit)


async def thresholds(connection: Connection, user_id: str) -> Thresholds | None:
    """Of a person's billing account."""
    return await _THRESHOLDS.first(connection, user_id)


async def set_thresholds(connection: Connection, user_id: str, micros: Sequence[int]) -> Thresholds | None:
    """Change them."""
    return await _SET_THRESHOLDS.first(connection, user_id, list(micros))


async def add_test_event(connection: Connection, project_id: str, endpoint_id: str) -> str:
    """An event for one webhook alone; the id of its delivery."""
    return str(
        await connection.fetchval(
            """
            with made as (
                insert into alert_events (type, account_id, project_id, data)
                select 'webhook.test', account_id, project_id, jsonb_build_object('webhook_id', $2::text)
                from projects where project_id = $1
                returning event_id
            )
            insert into alert_deliveries (event_id, lane, kind) select event_id, $2::text::uuid, 'webhook' from made
            returning delivery_id::text
            """,
            project_id,
            endpoint_id,
        )
    )


async def forget_old(connection: Connection, days: int, most: int) -> int:
    """Delete events that are older, and their deliveries; how many."""
    done = await connection.execute(
        """
        delete from alert_events where event_id in (
            select event_id from alert_events where created < now() - $1::int * interval '1 day'
            order by created limit $2)
        """,
        days,
        most,
    )
    return int(done.rpartition(" ")[2])


async def look_again(connection: Connection, account_id: str) -> None:
    """Let the thresholds of an account be looked at, though its balance has not moved."""
    await connection.execute("insert into alert_moves (account_id) values ($1)", account_id)
