"""The endpoints of running requests."""

from datetime import UTC, datetime
from typing import Final

from backend.api.access import InProject, Operator
from backend.api.endpoint import Call, Endpoint
from backend.live import models
from backend.live.service import LIVE


async def list_live(call: Call) -> models.Live:
    """The requests of a project that run right now."""
    count, rows = await call.app[LIVE].of_project(call.project_id)
    return models.Live(
        count=count,
        streams=[
            models.LiveRequest(
                request_id=row.request_id,
                created=_at(row.started_ms),
                api_key_id=row.key_id,
                service=row.service,
                lane=row.lane,
                path=row.path,
                audio_seconds=row.audio_ms / 1000,
                tags=row.tags,
            )
            for row in rows
        ],
    )


async def list_live_lanes(call: Call) -> models.LiveLanes:
    """What runs on the whole platform, by lane and service."""
    return models.LiveLanes(
        lanes=[
            models.LiveLane(
                lane=row.lane,
                service=row.service,
                streams=row.streams,
                projects=row.projects,
                audio_seconds=row.audio_ms / 1000,
                oldest=_at(row.oldest_ms),
            )
            for row in await call.app[LIVE].by_lane()
        ]
    )


def _at(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/projects/{project_id}/live", handler=list_live, access=InProject("usage:read"),
        tag="Usage", errors={}, summary="List what runs now", response=models.Live,
    ),
    Endpoint(
        method="GET", path="/v1/operator/live", handler=list_live_lanes, access=Operator(), tag="Operators",
        errors={}, summary="List what runs now by lane", response=models.LiveLanes,
    ),
)  # fmt: skip
