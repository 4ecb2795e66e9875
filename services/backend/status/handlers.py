"""The endpoints of the status page: public, for the canary, and for operators."""

from typing import Final

from aiohttp import web

from aldea.errors import TooManyRequests
from backend.api.access import AnyCaller, Operator, Public
from backend.api.encoding import encoded
from backend.api.endpoint import Call, Endpoint
from backend.status import models
from backend.status.errors import ERRORS, IncidentClosed, IncidentGone, NoCanary
from backend.status.service import FRESH_SECONDS, STATUS

# For browsers and whatever cache is in between; the response is the same for everybody.
CACHED: Final = {"Cache-Control": f"public, max-age={FRESH_SECONDS:.0f}"}


async def get_status(call: Call) -> web.Response:
    """How the platform is and was on each of the last 90 days, as its canary saw it, with incidents. Needs no key.

    The response is some seconds old at most and may be cached. A day without data has `good: null`.
    """
    body = await encoded(await call.app[STATUS].status())
    return web.Response(body=body, content_type="application/json", headers=CACHED)


async def record_canary_runs(call: Call) -> models.Recorded:
    """Report runs of the canary, with a key of a project that an operator owns. A run that is sent twice counts once.

    Runs that began more than 25 hours ago, or in the future, are left out.
    """
    body: models.CanaryRuns = call.body
    return models.Recorded(recorded=await call.app[STATUS].record(call.caller, body.runs))


async def list_incidents(call: Call) -> models.Incidents:
    """The newest 100 incidents, the open ones first."""
    return models.Incidents(incidents=await call.app[STATUS].incidents())


async def open_incident(call: Call) -> models.Incident:
    """Publish an incident on the status page."""
    return await call.app[STATUS].open(call.actor, call.body)


async def update_incident(call: Call) -> models.Incident:
    """Publish what is known now; the state `resolved` ends the incident."""
    return await call.app[STATUS].update(call.actor, call.parameters["incident_id"], call.body)


_OPERATED: Final = "/v1/operator/incidents"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/status", handler=get_status, access=Public(), tag="Status", errors=ERRORS,
        summary="Get the platform's status", response=models.Status,
    ),
    Endpoint(
        method="POST", path="/v1/status/runs", handler=record_canary_runs, access=AnyCaller(), tag="Status",
        errors=ERRORS, summary="Report runs of the canary", body=models.CanaryRuns, response=models.Recorded,
        raises=(NoCanary,), refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path=_OPERATED, handler=list_incidents, access=Operator(), tag="Operators", errors=ERRORS,
        summary="List incidents", response=models.Incidents,
    ),
    Endpoint(
        method="POST", path=_OPERATED, handler=open_incident, access=Operator(), tag="Operators", errors=ERRORS,
        summary="Publish an incident", body=models.OpenIncident, response=models.Incident, status=201,
    ),
    Endpoint(
        method="POST", path=_OPERATED + "/{incident_id}/updates", handler=update_incident, access=Operator(),
        tag="Operators", errors=ERRORS, summary="Update or resolve an incident", body=models.UpdateIncident,
        response=models.Incident, raises=(IncidentGone, IncidentClosed),
    ),
)  # fmt: skip
