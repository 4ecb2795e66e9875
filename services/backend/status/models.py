"""Requests and responses of the status page's endpoints."""

from datetime import date, datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from backend.api.endpoint import Body, OwnBody, ResponseModel
from backend.api.faults import NO_NUL, SOMETHING_TO_READ

Component = Literal["stream", "upload", "usage"]
# "unknown": the canary has not reported for some minutes.
Health = Literal["operational", "maintenance", "degraded", "down", "unknown"]
Impact = Literal["maintenance", "minor", "major"]
Progress = Literal["investigating", "identified", "monitoring", "resolved"]

# What a run may take, in ms: none lasts longer (aldea.canary).
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=600_000)]


class CanaryRun(Body):
    """One run of the canary. Null: not tried, or nothing to measure."""

    began_ms: int = Field(ge=0, le=2**53, description="When it began, Unix milliseconds")
    stream: bool | None = Field(None, description="Whether a live stream was good")
    upload: bool | None = Field(None, description="Whether an upload was good")
    usage: bool | None = Field(None, description="Whether both were billed to the millisecond")
    first_words_ms: Milliseconds | None = Field(None, description="From the first audio to the first words")
    last_words_ms: Milliseconds | None = Field(None, description="From the end of the audio to the last words")
    usage_lag_ms: Milliseconds | None = Field(None, description="From the last response to the usage rows")


class CanaryRuns(Body):
    """What a canary saw since it reported last."""

    runs: list[CanaryRun] = Field(min_length=1, max_length=100, description="Its runs, in any order")


class Recorded(ResponseModel):
    """How many runs were new, and began within the last day."""

    recorded: int


class Day(ResponseModel):
    """A UTC day. `good`: the part of its runs that were, from 0 to 1; null: no data."""

    day: date
    runs: int
    good: float | None


class ComponentStatus(ResponseModel):
    """A part of the platform: how it is now, and on each of the last 90 days, the oldest first."""

    component: Component
    title: str
    state: Health
    runs: int
    good: float | None
    days: list[Day]


class ObjectiveStatus(ResponseModel):
    """A promise, and what the canary measured in the last 90 days. `seconds`: null where it only has to succeed."""

    objective: str
    title: str
    promise: str
    target: float
    seconds: float | None
    measured: float | None
    events: int


class IncidentUpdate(ResponseModel):
    """What was known of an incident at a time."""

    at: datetime
    state: Progress
    message: str


class Incident(ResponseModel):
    """An incident, its newest update first. `resolved`: null while it goes on."""

    incident_id: str
    title: str
    impact: Impact
    components: list[Component]
    began: datetime
    resolved: datetime | None
    updates: list[IncidentUpdate]


class Status(ResponseModel):
    """How the platform is. `at`: when this was read; it is read again after some seconds."""

    state: Health
    at: datetime
    components: list[ComponentStatus]
    objectives: list[ObjectiveStatus]
    incidents: list[Incident]


class Incidents(ResponseModel):
    """The newest incidents."""

    incidents: list[Incident]


_Message = Annotated[
    str,
    Field(min_length=1, max_length=1000, pattern=NO_NUL, description="What is known, for customers"),
]


class OpenIncident(OwnBody):
    """An incident to publish."""

    title: str = Field(min_length=1, max_length=120, pattern=SOMETHING_TO_READ, description="What customers notice")
    impact: Impact = Field(description="minor: parts of it fail; major: it does not work; maintenance: planned")
    components: list[Component] = Field(min_length=1, max_length=3, description="What it affects")
    message: _Message


class UpdateIncident(OwnBody):
    """News of an incident; `resolved` ends it."""

    state: Progress = Field(description="How far it is")
    message: _Message
