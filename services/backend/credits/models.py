"""Requests and responses of the credits' endpoints. Amounts are micro-dollars (millionths), which are exact."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from backend.api.endpoint import OwnBody, ResponseModel
from backend.api.faults import SOMETHING_TO_READ
from backend.prices.models import Begin, Plan

Kind = Literal["grant", "adjustment", "refund", "expiry"]
# A million dollars: beyond it somebody has mistyped.
MOST_MICROS: Final = 1_000_000_000_000


def _something(amount: int) -> int:
    if amount == 0:
        raise ValueError("any other amount than 0")
    return amount


class GrantCredit(OwnBody):
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
    kind: Literal["grant", "adjustment", "refund"] | None = Field(
        None, description="Absent: a grant, or an adjustment if the amount is below zero. A refund gives charges back"
    )
    expires: Begin | None = Field(
        None, description="When what is left of a grant ends: a UTC day or a time, within ten years. Absent: never"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.amount_micros < 0 and self.kind in {"grant", "refund"}:
            raise ValueError(f"an amount above zero with the kind {self.kind}; an adjustment may take back")
        if self.expires is not None and (self.amount_micros < 0 or self.kind not in {None, "grant"}):
            raise ValueError("expires with a grant only, since nothing else is there to expire")
        return self


class ChangePlan(OwnBody):
    """How a project's billing account pays, and by which prices."""

    plan: Plan = Field(description="free and prepaid end at a balance of zero; postpaid pays afterwards")
    credit_limit_micros: Annotated[int, Field(ge=0, le=MOST_MICROS)] | None = Field(
        None,
        description="How much a postpaid account may owe, micro-dollars up to a million dollars. Absent: any amount",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.credit_limit_micros is not None and self.plan != "postpaid":
            raise ValueError(f"credit_limit_micros with the plan postpaid only; {self.plan} ends at a balance of zero")
        return self


class AccountPlan(ResponseModel):
    """The plan of a project's billing account. `credit_limit_micros`: how much it may owe; null: of postpaid, any."""

    plan: Plan
    credit_limit_micros: int | None


class Credit(ResponseModel):
    """One entry of the ledger. `kind` "expiry": what was left of a grant when it ended. `expires`: null: never."""

    credit_id: str
    kind: Kind
    amount_micros: int
    note: str
    expires: datetime | None
    created: datetime


class Credits(ResponseModel):
    """The credits of a project's billing account, the newest 200 of them, newest first; and its balance.

    `amount_micros`, what is left, is `credit_micros` (all credits) less `spent_micros` (all spend); below zero it is
    owed.
    """

    credits: list[Credit]
    amount_micros: int
    credit_micros: int
    spent_micros: int
