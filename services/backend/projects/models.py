"""Requests and responses of the projects' endpoints."""

from typing import Annotated, Literal

from pydantic import Field

from backend.api.endpoint import Body, ResponseModel
from backend.api.faults import SOMETHING_TO_READ

ProjectName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=SOMETHING_TO_READ, description="A name for people")
]


class Project(ResponseModel):
    """A project."""

    project_id: str
    name: str


class ProjectList(ResponseModel):
    """The projects that the credential may see."""

    projects: list[Project]


class ProjectDetail(Project):
    """A project by itself. `mip_opt_out`: customers' audio is never used for training here, so always true."""

    mip_opt_out: bool = True
    state: Literal["active", "suspended"]


class CreateProject(Body):
    """A new project; whoever creates it owns it."""

    name: ProjectName


class ChangeProject(Body):
    """The changes to a project, which are its name."""

    name: ProjectName
