"""The billing endpoints: the bill of a period by group, and purchases."""

from typing import Final

from aldea.turns import in_turns
from backend.api.access import InProject
from backend.api.endpoint import Call, Endpoint
from backend.billing import models
from backend.credits.service import CREDITS
from backend.keys.models import LATEST
from backend.projects.errors import ERRORS as PROJECT_ERRORS
from backend.projects.errors import ProjectGone
from backend.usage.errors import ERRORS as USAGE_ERRORS
from backend.usage.errors import PeriodUnusable, TooManyGroups
from backend.usage.filters import Filters
from backend.usage.models import Resolution
from backend.usage.money import dollars
from backend.usage.service import USAGE

_GROUPS: Final = {"accessor": "accessor", "line_item": "service", "tags": "tag"}
_SERVICES: Final = frozenset({"streaming", "prerecorded"})


async def get_billing_breakdown(call: Call) -> models.BillingBreakdown:
    """What a period costs, by API key, line item or tag, or by several of them at once."""
    query: models.BillingQuery = call.query
    usage = call.app[USAGE]
    period = usage.period(query.start, query.end)
    absent = query.deployment not in {None, "hosted"} or query.line_item not in {None, *_SERVICES}
    filters = Filters(
        key_id=None if query.accessor is None else str(query.accessor),
        tag=query.tag,
        service=query.line_item,
        nothing=absent,
    )
    wanted = frozenset(query.grouping)
    groups = tuple(_GROUPS[name] for name in dict.fromkeys(query.grouping) if name in _GROUPS)
    summed = await usage.by_group(call.project_id, period, filters, groups)
    return models.BillingBreakdown(
        start=period.first_day,
        end=period.last_day,
        resolution=Resolution(amount=len(period.days)),
        results=[
            models.Billed(
                dollars=dollars(row.charge_micros),
                grouping=models.BilledGroup(
                    start=period.first_day,
                    end=period.last_day,
                    accessor=row.accessor,
                    deployment="hosted" if "deployment" in wanted else None,
                    line_item=row.service,
                    tags=([] if row.tag is None else [row.tag]) if "tags" in wanted else None,
                ),
            )
            async for row in in_turns(summed.rows)
            if row.requests
        ],
    )


async def list_purchases(call: Call) -> models.Purchases:
    """The credits that the project was granted, newest first."""
    query: models.PurchasesQuery = call.query
    found = await call.app[CREDITS].of(call.project_id)
    return models.Purchases(
        orders=[
            models.Order(
                order_id=row.credit_id,
                expiration=row.expires or LATEST,
                created=row.created,
                amount=dollars(row.amount_micros),
                order_type=row.kind,
            )
            async for row in in_turns(found[: query.limit])
        ]
    )


_TAG: Final = "Billing"
_PATH: Final = "/v1/projects/{project_id}"
_READ: Final = InProject("billing:read")
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH + "/billing/breakdown", handler=get_billing_breakdown, access=_READ, tag=_TAG,
        errors=USAGE_ERRORS, summary="Break a bill down", query=models.BillingQuery,
        response=models.BillingBreakdown, raises=(PeriodUnusable, TooManyGroups),
    ),
    Endpoint(
        method="GET", path=_PATH + "/purchases", handler=list_purchases, access=_READ, tag=_TAG,
        errors=PROJECT_ERRORS, summary="List purchases", query=models.PurchasesQuery, response=models.Purchases,
        raises=(ProjectGone,),
    ),
)  # fmt: skip
