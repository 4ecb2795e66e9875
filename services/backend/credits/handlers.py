"""The credits' endpoints, for operators; a project's own people see the sum in their balances."""

from typing import Final

from backend.api.access import Operator
from backend.api.endpoint import Call, Endpoint
from backend.credits import models
from backend.credits.errors import ERRORS, CreditTaken, ExpiryUnusable
from backend.credits.repository import CreditRow
from backend.credits.service import CREDITS
from backend.projects.errors import ProjectGone
from backend.usage.service import USAGE


async def list_credits(call: Call) -> models.Credits:
    """What a project's billing account was credited with, and what is left of it."""
    found = await call.app[CREDITS].of(call.project_id)
    balance = await call.app[USAGE].balance(call.project_id)
    return models.Credits(
        credits=[_shown(one) for one in found],
        amount_micros=balance.amount_micros,
        credit_micros=balance.credit_micros,
        spent_micros=balance.spent_micros,
    )


async def grant_credit(call: Call) -> models.Credit:
    """Credit a project's billing account under an id of your choice. Idempotent: repeated, it counts once."""
    body: models.GrantCredit = call.body
    return _shown(
        await call.app[CREDITS].grant(
            call.actor,
            call.project_id,
            call.parameters["credit_id"],
            kind=body.kind or ("grant" if body.amount_micros > 0 else "adjustment"),
            amount_micros=body.amount_micros,
            note=body.note,
            expires=body.expires,
        )
    )


async def get_plan(call: Call) -> models.AccountPlan:
    """Plan and credit limit of a project's billing account."""
    found = await call.app[CREDITS].plan(call.project_id)
    return models.AccountPlan(plan=found.plan, credit_limit_micros=found.credit_limit_micros)


async def change_plan(call: Call) -> models.AccountPlan:
    """Change plan and credit limit of a project's billing account: for all its projects, from the next request on."""
    body: models.ChangePlan = call.body
    await call.app[CREDITS].set_plan(call.actor, call.project_id, body.plan, body.credit_limit_micros)
    return models.AccountPlan(plan=body.plan, credit_limit_micros=body.credit_limit_micros)


def _shown(row: CreditRow) -> models.Credit:
    return models.Credit(
        credit_id=row.credit_id,
        kind=row.kind,
        amount_micros=row.amount_micros,
        note=row.note,
        expires=row.expires,
        created=row.created,
    )


_TAG: Final = "Operators"
_PATH: Final = "/v1/operator/projects/{project_id}/credits"
_PLAN: Final = "/v1/operator/projects/{project_id}/plan"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH, handler=list_credits, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="List a project's credits", response=models.Credits, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PUT", path=_PATH + "/{credit_id}", handler=grant_credit, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Credit a project", body=models.GrantCredit, response=models.Credit,
        raises=(ProjectGone, CreditTaken, ExpiryUnusable),
    ),
    Endpoint(
        method="GET", path=_PLAN, handler=get_plan, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Get a project's plan", response=models.AccountPlan, raises=(ProjectGone,),
    ),
    Endpoint(
        method="PUT", path=_PLAN, handler=change_plan, access=Operator(), tag=_TAG, errors=ERRORS,
        summary="Change a plan", body=models.ChangePlan, response=models.AccountPlan,
        raises=(ProjectGone,),
    ),
)  # fmt: skip
