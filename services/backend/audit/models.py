"""Requests and responses of the audit log's endpoint."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from backend.api.endpoint import Query, ResponseModel
from backend.api.faults import spelled

ActorKind = Literal["user", "key", "operator", "system"]


class AuditQuery(Query):
    """Which part of the log."""

    limit: int = Field(50, ge=1, le=200, description="Entries on a page")
    page_token: str | None = Field(
        None,
        pattern=spelled("the next_page_token of a page", r"^[0-9]{1,18}$"),
        description="The next_page_token of the page before; none: the newest entries",
    )


class AuditActor(ResponseModel):
    """Who did it. `name`: a user's address, or a key's comment; operators of the platform and the system have none."""

    kind: ActorKind
    id: str | None
    name: str | None


class AuditEntry(ResponseModel):
    """One change. `target`: the id or address that was changed. `request_id`: of the request that changed it."""

    at: datetime
    actor: AuditActor
    action: str
    target: str
    detail: dict[str, Any]
    request_id: str | None


class AuditPage(ResponseModel):
    """Changes, newest first. `next_page_token`: for the next page; null: this was the last."""

    entries: list[AuditEntry]
    next_page_token: str | None
