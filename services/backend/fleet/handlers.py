"""The endpoints of the operators' console."""

from datetime import UTC, datetime
from typing import Final

from backend.api.access import Operator
from backend.api.endpoint import Call, Endpoint
from backend.fleet import models
from backend.fleet.errors import ERRORS, RequestGone
from backend.fleet.service import FLEET

_STATES: Final = ("open", "incomplete", "final")


async def get_fleet(call: Call) -> models.Fleet:
    """The platform now: STT servers and proxies as these report them, what runs badly, and the error budgets left."""
    return await call.app[FLEET].fleet()


async def get_any_request(call: Call) -> models.StoryRequest:
    """All that is stored of one request, whoever's it is."""
    row = await call.app[FLEET].story(call.parameters["request_id"])
    return models.StoryRequest(
        request_id=row.request_id,
        project_id=row.project_id,
        project=row.project,
        api_key_id=row.key_id,
        key=row.key,
        last4=row.last4,
        service=row.service,
        lane=row.lane,
        path=row.path,
        endpoint=row.endpoint,
        created=datetime.fromtimestamp(row.started_ms / 1000, UTC),
        state=_STATES[row.rank],
        code=row.status or None,
        close_code=row.close_code,
        audio_seconds=row.audio_ms / 1000,
        channels=row.channels,
        connection_seconds=row.connection_ms / 1000,
        bytes_in=row.bytes_in,
        bytes_out=row.bytes_out,
        charge_micros=row.charge_micros,
        price_id=row.price_id,
        model=row.model,
        features=row.features,
        tags=row.tags,
        failovers=row.failovers,
        first_word_ms=row.first_word_ms,
        trace_id=row.trace_id,
    )


async def find_keys(call: Call) -> models.FoundKeys:
    """Keys of any project by their last four characters, newest first, at most 50. No key's text is stored."""
    query: models.KeysQuery = call.query
    return models.FoundKeys(
        keys=[
            models.FoundKey(
                api_key_id=row.key_id,
                comment=row.comment,
                last4=row.last4,
                project_id=row.project_id,
                project=row.project,
                created=row.created,
                revoked=row.revoked,
            )
            for row in await call.app[FLEET].keys_ending(query.last4)
        ]
    )


_TAG: Final = "Operators"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/operator/fleet", handler=get_fleet, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Get the platform's servers and what runs badly", response=models.Fleet,
    ),
    Endpoint(
        method="GET", path="/v1/operator/requests/{request_id}", handler=get_any_request, access=Operator(), tag=_TAG,
        errors=ERRORS, summary="Get any request", response=models.StoryRequest, raises=(RequestGone,),
    ),
    Endpoint(
        method="GET", path="/v1/operator/keys", handler=find_keys, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Find keys by their end", query=models.KeysQuery, response=models.FoundKeys,
    ),
)  # fmt: skip
