"""Requests and responses of the prices' endpoints. A price is whole micro-dollars (millionths) for an hour of audio."""

from datetime import date, datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from backend.api.endpoint import OwnBody, ResponseModel
from backend.api.faults import spelled
from backend.usage.models import Service
from backend.usage.period import read_moment

Plan = Literal["free", "prepaid", "postpaid"]
Begin: TypeAlias = Annotated[
    date | datetime, PlainValidator(read_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]

# A name as customers write it in `model=`.
MODEL: Final = spelled("letters of A to Z, digits and . _ : / -", r"^[A-Za-z0-9._:/-]+$")
# A thousand dollars an hour: beyond it somebody has mistyped.
MOST_MICROS_PER_HOUR: Final = 1_000_000_000


class AddPrice(OwnBody):
    """A price to add. It holds for requests that begin at `effective_from` or later, until the next price does."""

    plan: Plan = Field(description="Whose price: that of accounts with this plan")
    service: Service = Field(description="Of live streams, or of recorded audio")
    model: Annotated[str, Field(min_length=1, max_length=100, pattern=MODEL)] | None = Field(
        None, description="Of requests that name this model; absent: of any that has no price of its own"
    )
    micros_per_hour: Annotated[
        int,
        Field(ge=0, le=MOST_MICROS_PER_HOUR, description="Micro-dollars for an hour of audio, up to 1000 dollars"),
    ]
    effective_from: Begin = Field(
        description="From this UTC day or time on: two minutes from now at the soonest, in 366 days at the latest"
    )


class Price(ResponseModel):
    """A price. `model`: null: of any model. `effective_from`: null: since ever. `price_per_hour`: in US dollars."""

    price_id: int
    plan: Plan
    service: Service
    model: str | None = None
    micros_per_hour: int
    price_per_hour: float
    units: Literal["usd"] = "usd"
    effective_from: datetime | None
    created: datetime


class Prices(ResponseModel):
    """The price book, the newest 500 of its prices, those that begin last first."""

    prices: list[Price]


class ProjectPrices(ResponseModel):
    """What a project pays: the prices in force now, and those that are announced, in the order in which they begin.

    A request is charged at the price that is in force when it begins, also if it ends under another one.
    """

    prices: list[Price]
