"""Requests and responses of the billing endpoints, in the public management API's shapes."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from backend.api.endpoint import Query, ResponseModel
from backend.usage.models import Deployment, PeriodQuery, Resolution, Tag

Grouping = Literal["accessor", "deployment", "line_item", "tags"]
MAX_ORDERS = 200


class BillingQuery(PeriodQuery):
    """Which days to bill, and into which groups."""

    accessor: UUID | None = Field(None, description="Only what this API key did")
    deployment: Deployment | None = Field(None, description="Everything here is hosted; of others there is no bill")
    tag: Tag | None = Field(None, description="Only requests that carry this tag")
    line_item: Tag | None = Field(None, description="streaming or prerecorded; of others there is no bill")
    grouping: list[Grouping] = Field(
        [], max_length=4, description="What a group has in common. Repeat it for finer groups; none: the whole period"
    )


class BilledGroup(ResponseModel):
    """What a group has in common; null: not grouped by it. `accessor` is an API key's id."""

    start: date
    end: date
    accessor: str | None
    deployment: Deployment | None
    line_item: str | None
    tags: list[str] | None


class Billed(ResponseModel):
    """What a group is charged: the sum of its requests' charges."""

    dollars: float
    grouping: BilledGroup


class BillingBreakdown(ResponseModel):
    """The bill of a period by group. A request counts in the group of each of its tags."""

    start: date
    end: date
    resolution: Resolution
    results: list[Billed]


class PurchasesQuery(Query):
    """How many to list."""

    limit: int = Field(10, ge=1, le=MAX_ORDERS, description="The newest so many")


class Order(ResponseModel):
    """An entry of the ledger: a grant, an adjustment, a refund or an expiry.

    `expiration`: the last second of the calendar, if it does not expire.
    """

    order_id: str
    expiration: datetime
    created: datetime
    amount: float
    units: Literal["usd"] = "usd"
    order_type: str


class Purchases(ResponseModel):
    """What the project's billing account was credited with, newest first."""

    orders: list[Order]
