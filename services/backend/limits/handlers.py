"""The limits' endpoints: of keys and projects for their owners, of accounts for operators."""

from typing import Any, Final

from backend.api.access import InProject, Operator
from backend.api.endpoint import Call, Change, Endpoint
from backend.keys.errors import KeyGone, LimitedCaller
from backend.limits import models
from backend.limits.errors import ERRORS, AbovePlan
from backend.limits.repository import Limits, Used
from backend.limits.service import LIMITS
from backend.projects.errors import ProjectGone


async def get_limits(call: Call) -> models.Limits:
    """A project's limits, and how much of each is used now."""
    found = await call.app[LIMITS].overview(call.project_id)
    account = found.account
    return models.Limits(
        **found.effective.to_dict(),
        plan=_shown(found.plan),
        own=_shown(found.own),
        account=models.AccountLimits(
            account_id=account.id, **account.limits.to_dict(), used=models.MonthUsed(**_used(found.account_used))
        ),
        used=models.LimitsUsed(**_used(found.used), streams_now=found.running),
    )


async def change_own_limits(call: Call) -> Change:
    """Change a project's own limits, at or below its plan's. They hold for the next request.

    Running requests go on, up to the month's audio and budget.
    """
    body: models.ChangeLimits = call.body
    changes = body.model_dump(include=body.model_fields_set)
    propagated = await call.app[LIMITS].set_own(call.caller, call.actor, call.project_id, changes)
    return Change.of("Limits changed.", propagated=propagated)


async def change_key(call: Call) -> Change:
    """Change an API key's limits. They hold for the next request, and for its successors too.

    A key whose limits are another's, which made it or which it replaced, shares them: all of these count together.
    """
    body: models.ChangeLimits = call.body
    changes = body.model_dump(include=body.model_fields_set)
    propagated = await call.app[LIMITS].set_of_key(
        call.caller, call.actor, call.project_id, call.parameters["key_id"], changes
    )
    return Change.of("Limits changed.", propagated=propagated)


async def change_account_limits(call: Call) -> Change:
    """Change what all projects of a project's billing account may use together."""
    body: models.ChangeLimits = call.body
    changes = body.model_dump(include=body.model_fields_set)
    propagated = await call.app[LIMITS].set_of_account(call.actor, call.project_id, changes)
    return Change.of("Limits changed.", propagated=propagated)


async def get_any_limits(call: Call) -> models.Limits:
    """Any project's limits, its account's among them, and how much of each is used now."""
    return await get_limits(call)


def _shown(limits: Limits) -> models.LimitSet:
    return models.LimitSet(**limits.to_dict())


def _used(used: Used) -> dict[str, Any]:
    return {"month_audio_seconds": used.audio_ms / 1000, "month_charge_micros": used.charge_micros}


_PROJECT: Final = "/v1/projects/{project_id}"
_OPERATED: Final = "/v1/operator/projects/{project_id}"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PROJECT + "/limits", handler=get_limits, access=InProject("project:read"), tag="Projects",
        errors=ERRORS, summary="Get limits and what is used of them", response=models.Limits, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PATCH", path=_PROJECT + "/limits", handler=change_own_limits, access=InProject("project:write"),
        tag="Projects", errors=ERRORS, summary="Change a project's own limits", body=models.ChangeLimits,
        response=Change, raises=(ProjectGone, AbovePlan, LimitedCaller),
    ),
    Endpoint(
        method="PATCH", path=_PROJECT + "/keys/{key_id}", handler=change_key, access=InProject("keys:write"),
        tag="API keys", errors=ERRORS, summary="Change an API key's limits", body=models.ChangeLimits,
        response=Change, raises=(KeyGone, LimitedCaller),
    ),
    Endpoint(
        method="GET", path=_OPERATED + "/limits", handler=get_any_limits, access=Operator(), tag="Operators",
        errors=ERRORS, summary="Get any project's limits", response=models.Limits, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PATCH", path=_OPERATED + "/account/limits", handler=change_account_limits, access=Operator(),
        tag="Operators", errors=ERRORS, summary="Change a billing account's limits", body=models.ChangeLimits,
        response=Change, raises=(ProjectGone,),
    ),
)  # fmt: skip
