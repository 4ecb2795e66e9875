"""Requests and responses of the credits' endpoints. Amounts are micro-dollars (millionths), which are exact."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from backend.api.endpoint import Body, ResponseModel
from backend.api.faults import SOMETHING_TO_READ

# A million dollars: beyond it somebody has mistyped.
MOST_MICROS: Final = 1_000_000_000_000


def _something(amount: int) -> int:
    if amount == 0:
        raise ValueError("any other amount than 0")
    return amount


class GrantCredit(Body):
    """A credit to grant. `note`: the project's people read it in their audit log."""

    amount_micros: Annotated[
        int,
        Field(
            ge=-MOST_MICROS,
            le=MOST_MICROS,
            description="Micro-dollars, up to a million dollars; less than zero takes credit back; not zero",
            json_schema_extra={"not": {"const": 0}},
        ),
        AfterValidator(_something),
    ]
    note: str = Field(min_length=1, max_length=200, pattern=SOMETHING_TO_READ, description="What it is for, for people")


class Credit(ResponseModel):
    """One credit."""

    credit_id: str
    amount_micros: int
    note: str
    created: datetime


class Credits(ResponseModel):
    """A project's credits, the newest 200 of them, newest first; and its account.

    `amount_micros`, what is left, is `credit_micros` (all credits) less `spent_micros` (all spend); below zero it is
    owed.
    """

    credits: list[Credit]
    amount_micros: int
    credit_micros: int
    spent_micros: int
