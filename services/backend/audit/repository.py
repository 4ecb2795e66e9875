"""The audit log's table. A record is written in the transaction of the change that it describes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aldea.postgres import Connection
from aldea.rows import Query
from backend.api.endpoint import Actor, json_text
from backend.audit.models import ActorKind


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the audit log. `detail`: JSON. `actor_name`: an address or a key's comment, while there is one."""

    audit_id: int
    at: datetime
    actor_kind: ActorKind
    actor_id: str | None
    action: str
    target: str
    detail: str
    request_id: str | None
    actor_name: str | None


_PAGE: Final = Query(
    AuditRow,
    """
    select audit_id, at, actor_kind, actor_id::text, action, target, detail, request_id::text,
        coalesce(users.email, api_keys.comment) as actor_name
    from audit_log
    left join users on actor_kind = 'user' and users.user_id = actor_id
    left join api_keys on actor_kind = 'key' and api_keys.key_id = actor_id
    where audit_log.project_id = $1 and ($2::bigint is null or audit_id < $2)
    order by audit_id desc limit $3
    """,
)


async def record(
    connection: Connection, actor: Actor, action: str, target: str, *, project_id: str | None = None, **detail: Any
) -> None:
    """Write who did `action` (like `key.create`) to `target` (an id or an address). `detail` holds no secret."""
    await connection.execute(
        """
        insert into audit_log (project_id, actor_kind, actor_id, action, target, detail, request_id)
        values ($1, $2, $3, $4, $5, $6, $7)
        """,
        project_id,
        actor.kind,
        actor.actor_id,
        action,
        target,
        json_text(detail),
        actor.request_id,
    )


async def page(connection: Connection, project_id: str, before: int | None, limit: int) -> list[AuditRow]:
    """A project's entries, newest first, older than the entry `before`."""
    return await _PAGE.all(connection, project_id, before, limit)
