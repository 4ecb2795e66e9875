"""The audit log's endpoint."""

import json
from typing import Final

from backend.api.access import READ_AUDIT, InProject
from backend.api.endpoint import Call, Endpoint
from backend.audit import models
from backend.audit.repository import AuditRow
from backend.audit.service import AUDIT


async def list_audit(call: Call) -> models.AuditPage:
    """Every change to a project, its keys and its members: who made it, and when. For signed-in owners."""
    query: models.AuditQuery = call.query
    before = None if query.page_token is None else int(query.page_token)
    rows, behind = await call.app[AUDIT].page(call.project_id, before, query.limit)
    return models.AuditPage(
        entries=[_entry(row) for row in rows], next_page_token=None if behind is None else str(behind)
    )


def _entry(row: AuditRow) -> models.AuditEntry:
    return models.AuditEntry(
        at=row.at,
        actor=models.AuditActor(kind=row.actor_kind, id=row.actor_id, name=row.actor_name),
        action=row.action,
        target=row.target,
        detail=json.loads(row.detail),
        request_id=row.request_id,
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/projects/{project_id}/audit", handler=list_audit, access=InProject(READ_AUDIT),
        tag="Projects", errors={}, summary="List changes", query=models.AuditQuery, response=models.AuditPage,
    ),
)  # fmt: skip
