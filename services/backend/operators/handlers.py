"""The operators' endpoints; none of their calls needs a membership of the project."""

from typing import Final

from backend.api.access import Operator
from backend.api.endpoint import Call, Change, Endpoint
from backend.operators import models
from backend.operators.service import OPERATORS, Operated
from backend.projects.errors import ERRORS, ProjectGone


async def list_all_projects(call: Call) -> models.OperatedProjects:
    """All projects of the platform with their limits and what they use, newest first."""
    query: models.ProjectsQuery = call.query
    found, behind = await call.app[OPERATORS].projects(
        containing=query.q, state=query.state, before=query.page_token, limit=query.limit
    )
    return models.OperatedProjects(projects=[_shown(one) for one in found], next_page_token=behind)


async def get_any_project(call: Call) -> models.OperatedProject:
    """Any project with its limits and what it uses."""
    return _shown(await call.app[OPERATORS].project(call.project_id))


async def change_limits(call: Call) -> Change:
    """Change a project's limits. They hold for the next request; running ones go on, up to the month's audio."""
    body: models.ChangePlanLimits = call.body
    changes = body.model_dump(include=body.model_fields_set)
    propagated = await call.app[OPERATORS].set_limits(call.actor, call.project_id, changes)
    return Change.of("Limits changed.", propagated=propagated)


async def suspend_project(call: Call) -> Change:
    """Suspend a project: its keys are refused from now on, and its running requests end within 15 seconds."""
    body: models.Suspend = call.body
    propagated = await call.app[OPERATORS].suspend(call.actor, call.project_id, body.reason)
    return Change.of("Project suspended.", propagated=propagated)


async def resume_project(call: Call) -> Change:
    """Resume a suspended project; its keys are valid again."""
    propagated = await call.app[OPERATORS].resume(call.actor, call.project_id)
    return Change.of("Project resumed.", propagated=propagated)


def _shown(found: Operated) -> models.OperatedProject:
    row = found.row
    return models.OperatedProject(
        project_id=row.project_id,
        name=row.name,
        state=row.state,
        created=row.created,
        owners=row.owners,
        limits=models.ProjectLimits(**row.limits),
        month_audio_seconds=found.audio_ms / 1000,
        streams_now=found.running,
    )


_TAG: Final = "Operators"
_PATH: Final = "/v1/operator/projects"
_ONE: Final = _PATH + "/{project_id}"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH, handler=list_all_projects, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="List all projects", query=models.ProjectsQuery, response=models.OperatedProjects,
    ),
    Endpoint(
        method="GET", path=_ONE, handler=get_any_project, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Get any project", response=models.OperatedProject, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PATCH", path=_ONE + "/limits", handler=change_limits, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Change a project's limits", body=models.ChangePlanLimits, response=Change, raises=(ProjectGone,),
    ),
    Endpoint(
        method="POST", path=_ONE + "/suspend", handler=suspend_project, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Suspend a project", body=models.Suspend, body_optional=True, response=Change, raises=(ProjectGone,),
    ),
    Endpoint(
        method="POST", path=_ONE + "/resume", handler=resume_project, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Resume a project", response=Change, raises=(ProjectGone,),
    ),
)  # fmt: skip
