"""Responses of the endpoints of running requests."""

from datetime import datetime
from typing import Literal

from backend.api.endpoint import ResponseModel

Service = Literal["streaming", "prerecorded"]


class LiveRequest(ResponseModel):
    """A request that runs. `audio_seconds`, every channel counted: as of its last checkpoint, some ten seconds old."""

    request_id: str
    created: datetime
    api_key_id: str
    service: Service
    lane: str
    path: str
    audio_seconds: float
    tags: list[str]


class Live(ResponseModel):
    """What runs in a project. `count` is exact to the second; `streams` are the newest hundred, seconds late."""

    count: int
    streams: list[LiveRequest]


class LiveLane(ResponseModel):
    """What runs on one lane. `oldest`: when the request began that runs the longest."""

    lane: str
    service: Service
    streams: int
    projects: int
    audio_seconds: float
    oldest: datetime


class LiveLanes(ResponseModel):
    """What runs on the whole platform, by lane and service, seconds late."""

    lanes: list[LiveLane]
