"""Requests and responses of the operators' endpoints."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from backend.api.endpoint import Changes, OwnBody, Query, ResponseModel
from backend.api.faults import ONE_LINE, spelled
from backend.limits.models import ConcurrentStreams, MonthlySeconds, RequestsPerMinute

ProjectState = Literal["active", "suspended"]


class ProjectsQuery(Query):
    """Which projects to list."""

    q: str | None = Field(
        None, min_length=1, max_length=254, description="A part of the name or of an owner's address, or the id"
    )
    state: ProjectState | None = Field(None, description="Only projects in this state")
    limit: int = Field(50, ge=1, le=200, description="Projects on a page")
    page_token: str | None = Field(
        None,
        pattern=spelled("the next_page_token of a page", r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        description="The next_page_token of the page before",
    )


class ProjectLimits(ResponseModel):
    """Limits of a project; null: none."""

    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None


class OperatedProject(ResponseModel):
    """A project as operators see it. `streams_now`: null while that cannot be known."""

    project_id: str
    name: str
    state: ProjectState
    created: datetime
    owners: list[str]
    limits: ProjectLimits
    month_audio_seconds: float
    streams_now: int | None


class OperatedProjects(ResponseModel):
    """Projects, newest first. `next_page_token`: for the next page; null: this was the last."""

    projects: list[OperatedProject]
    next_page_token: str | None


class ChangePlanLimits(Changes, OwnBody):
    """A plan's limits to change; what is absent stays, what is null is lifted."""

    null_is_a_change = True

    requests_per_minute: RequestsPerMinute | None = None
    concurrent_streams: ConcurrentStreams | None = None
    monthly_audio_seconds: MonthlySeconds | None = None


class Suspend(OwnBody):
    """Why a project is suspended; its owners read it in their audit log."""

    reason: str = Field("", max_length=500, pattern=ONE_LINE, description="The reason, for the audit log")
