"""Requests and responses of the limits' endpoints. A budget is of a UTC month, in micro-dollars (millionths)."""

from typing import Annotated, Final

from pydantic import Field

from backend.api.endpoint import Changes, OwnBody, ResponseModel

# Bounds that nobody needs to pass; "no limit" is null, not a large number. The database has the same.
MOST_BUDGET_MICROS: Final = 1_000_000_000_000
RequestsPerMinute = Annotated[int, Field(ge=1, le=1_000_000, description="Requests per minute; null: no limit")]
ConcurrentStreams = Annotated[int, Field(ge=1, le=1_000_000, description="Requests at a time; null: no limit")]
MonthlySeconds = Annotated[
    int, Field(ge=0, le=100_000_000_000, description="Seconds of audio in a UTC month; null: no limit")
]
MonthlyBudget = Annotated[
    int,
    Field(
        ge=0,
        le=MOST_BUDGET_MICROS,
        description="Charges in a UTC month, whole micro-dollars up to a million dollars; null: no limit",
    ),
]


class ChangeLimits(Changes, OwnBody):
    """Limits to change; what is absent stays, what is null is lifted."""

    null_is_a_change = True

    requests_per_minute: RequestsPerMinute | None = None
    concurrent_streams: ConcurrentStreams | None = None
    monthly_audio_seconds: MonthlySeconds | None = None
    monthly_budget_micros: MonthlyBudget | None = None


class LimitSet(ResponseModel):
    """Limits; null: none."""

    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None
    monthly_budget_micros: int | None


class MonthUsed(ResponseModel):
    """What was used in the present UTC month. `charge_micros`: micro-dollars."""

    month_audio_seconds: float
    month_charge_micros: int


class LimitsUsed(MonthUsed):
    """How much of the limits is used now. `streams_now`: running requests, null while that cannot be known."""

    streams_now: int | None


class AccountLimits(LimitSet):
    """Limits of the billing account, over all its projects together, and what these used."""

    account_id: str
    used: MonthUsed


class Limits(LimitSet):
    """A project's limits that hold now; null: none. Months are UTC months.

    Each is the smaller one of the plan's (`plan`), which the platform sets, and the project's own (`own`), which its
    owners set. `account`: what holds for all projects of the billing account together.
    """

    plan: LimitSet
    own: LimitSet
    account: AccountLimits
    used: LimitsUsed
