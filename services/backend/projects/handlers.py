"""The projects' endpoints."""

from typing import Final

from backend.api.access import DELETE_PROJECT, AnyCaller, InProject, SessionCaller, SignedIn
from backend.api.endpoint import Call, Change, Endpoint, Message
from backend.projects import models
from backend.projects.errors import ERRORS, ProjectGone, TooManyProjects
from backend.projects.service import PROJECTS


async def list_projects(call: Call) -> models.ProjectList:
    """The projects of a signed-in user, or the one that an API key belongs to."""
    caller = call.caller
    visible = caller.project_ids if isinstance(caller, SessionCaller) else _readable(call)
    rows = await call.app[PROJECTS].list(visible)
    return models.ProjectList(projects=[models.Project(project_id=row.project_id, name=row.name) for row in rows])


def _readable(call: Call) -> tuple[str, ...]:
    return tuple(found for found in call.caller.project_ids if "project:read" in (call.caller.scopes_in(found) or ()))


async def create_project(call: Call) -> models.Project:
    """A new project, owned by whoever creates it."""
    body: models.CreateProject = call.body
    project_id = await call.app[PROJECTS].create(call.actor, call.session.user_id, body.name)
    return models.Project(project_id=project_id, name=body.name)


async def get_project(call: Call) -> models.ProjectDetail:
    """One project."""
    row = await call.app[PROJECTS].get(call.project_id)
    return models.ProjectDetail(project_id=row.project_id, name=row.name, state=row.state)


async def update_project(call: Call) -> Message:
    """Change a project's name."""
    body: models.ChangeProject = call.body
    await call.app[PROJECTS].rename(call.caller, call.actor, call.project_id, body.name)
    return Message(message="Project updated.")


async def delete_project(call: Call) -> Change:
    """Delete a project; its keys stop working at once. Its usage stays on the bill."""
    propagated = await call.app[PROJECTS].delete(call.caller, call.actor, call.project_id)
    return Change.of("Project deleted.", propagated=propagated)


_TAG: Final = "Projects"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/projects", handler=list_projects, access=AnyCaller(), tag=_TAG, errors=ERRORS,
        summary="List projects", response=models.ProjectList,
    ),
    Endpoint(
        method="POST", path="/v1/projects", handler=create_project, access=SignedIn(), tag=_TAG, errors=ERRORS,
        summary="Create a project", body=models.CreateProject, response=models.Project, status=201,
        raises=(TooManyProjects,),
    ),
    Endpoint(
        method="GET", path="/v1/projects/{project_id}", handler=get_project, access=InProject("project:read"),
        tag=_TAG, errors=ERRORS, summary="Get a project", response=models.ProjectDetail, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PATCH", path="/v1/projects/{project_id}", handler=update_project, access=InProject("project:write"),
        tag=_TAG, errors=ERRORS, summary="Update a project", body=models.ChangeProject, response=Message,
        raises=(ProjectGone,),
    ),
    Endpoint(
        method="DELETE", path="/v1/projects/{project_id}", handler=delete_project, access=InProject(DELETE_PROJECT),
        tag=_TAG, errors=ERRORS, summary="Delete a project", response=Change, raises=(ProjectGone,),
    ),
)  # fmt: skip
