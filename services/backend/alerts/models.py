"""Requests and responses of the endpoints of webhooks and alerts."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from aldea.address_guard import MAX_URL_LENGTH
from backend.alerts.deliveries import State
from backend.alerts.events import Type
from backend.api.endpoint import Changes, OwnBody, Query, ResponseModel
from backend.api.faults import ONE_LINE, spelled

Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH, description="Where events are sent, http(s)")]
Description = Annotated[str, Field(max_length=200, pattern=ONE_LINE, description="For people")]
Types = Annotated[list[Type], Field(min_length=1, max_length=50, description="The types of events to send; null: all")]
# More than anybody owes or has.
Micros = Annotated[int, Field(ge=1, le=1_000_000_000_000, description="A balance in micro-dollars")]


class CreateWebhook(OwnBody):
    """A new webhook."""

    url: Url
    description: Description = ""
    types: Types | None = None


class ChangeWebhook(Changes, OwnBody):
    """The changes to a webhook; absent fields stay as they are. `all_types`: send all types again."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    all_types: bool = Field(default=False, description="true: send every type, also those to come")
    enabled: bool | None = Field(None, description="false: send nothing; true: send again")


class Webhook(ResponseModel):
    """A webhook. `types`: null: all. `failing_since`: of its first failure since its last success.

    `enabled`: false: somebody or five days of failure disabled it.
    """

    webhook_id: str
    url: str
    description: str
    types: list[Type] | None
    created: datetime
    enabled: bool
    disabled: datetime | None
    failing_since: datetime | None


class WebhookList(ResponseModel):
    """A project's webhooks, oldest first."""

    webhooks: list[Webhook]


class CreatedWebhook(Webhook):
    """A webhook with its secret, which is in this response and nowhere else."""

    secret: str


class RotatedSecret(ResponseModel):
    """A new secret. Until `former_until` the former one signs, too."""

    webhook_id: str
    secret: str
    former_until: datetime


class Attempt(ResponseModel):
    """One attempt of a delivery: when, and how the receiver responded. `error`: why it failed, null: it did not."""

    attempted: datetime
    took_ms: int | None
    status: int | None
    response: str | None
    error: str | None


class Delivery(ResponseModel):
    """An event on its way to a webhook. `state`: waiting, delivered or failed (given up).

    Of the last attempt: `attempted`, `took_ms`, `status` and the begin of the `response`; `error`: why it failed.
    `due`: when the next attempt is made, null: none will be. `history`: the newest ten attempts, oldest first.
    """

    delivery_id: str
    event_id: str
    type: Type
    state: State
    attempts: int
    created: datetime
    due: datetime | None
    attempted: datetime | None
    took_ms: int | None
    status: int | None
    response: str | None
    error: str | None
    history: list[Attempt]


class DeliveryPage(ResponseModel):
    """Deliveries, newest first. `next_page_token`: for the next page; null: this was the last."""

    deliveries: list[Delivery]
    next_page_token: str | None


_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
PageToken = Annotated[
    str,
    Field(
        pattern=spelled("the next_page_token of a page", _UUID),
        description="The next_page_token of the page before; none: the newest",
    ),
]


class PageQuery(Query):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=200, description="Entries on a page")
    page_token: PageToken | None = None


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    state: State | None = Field(None, description="Only those that are waiting, delivered or failed")


class Event(ResponseModel):
    """Something that happened. `project_id`: null: to the billing account. `data`: as webhooks get it."""

    event_id: str
    type: Type
    project_id: str | None
    created: datetime
    data: dict[str, Any]


class EventPage(ResponseModel):
    """Events, newest first. `next_page_token`: for the next page; null: this was the last."""

    events: list[Event]
    next_page_token: str | None


class AlertSettings(ResponseModel):
    """Below which balances people are notified, in micro-dollars. That it is spent is always an event."""

    balance_thresholds_micros: list[int]


class ChangeAlertSettings(OwnBody):
    """All thresholds, at most five; an empty list: none."""

    balance_thresholds_micros: list[Micros] = Field(max_length=5)
