"""Responses of the statements' endpoints. Amounts are micro-dollars (millionths), which are exact."""

from datetime import date, datetime
from typing import Literal

from backend.api.endpoint import ResponseModel
from backend.credits.models import Kind
from backend.usage.models import Service


class Line(ResponseModel):
    """Requests that began on a UTC day. `model`: null: they named none.

    Of a day of an earlier month: what came after that month was closed, which may take back.
    """

    project_id: str
    service: Service
    model: str | None
    day: date
    requests: int
    audio_ms: int
    charge_micros: int


class LedgerLine(ResponseModel):
    """An entry of the account's ledger."""

    credit_id: str
    kind: Kind
    amount_micros: int
    note: str
    created: datetime


class Statement(ResponseModel):
    """A month of a billing account: `closing_micros` is `opening_micros` plus `credited_micros` less `charged_micros`.

    `closed`: nothing of it changes any more; until `closes` it does. A project's statement has the project's lines,
    whose sum is `lines_micros`; everything else is the account's.
    """

    month: str
    closed: bool
    closes: datetime
    units: Literal["usd"] = "usd"
    opening_micros: int
    credited_micros: int
    charged_micros: int
    closing_micros: int
    lines_micros: int
    entries: list[LedgerLine]
    lines: list[Line]
