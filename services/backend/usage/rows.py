"""What the statements of usage return; only milliseconds, bytes, counts and micro-dollars."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from backend.usage.models import Method, Service


@dataclass(slots=True)  # not frozen: an export makes millions of them, and a frozen one takes ten times as long to make
class RequestRow:
    """A request. `started_ms`: Unix milliseconds; `rank`: 0 open, 1 incomplete, 2 final; `status`: 0 if it has none."""

    request_id: str
    started_ms: int
    project_id: str
    key_id: str
    service: Service
    lane: str
    path: str
    endpoint: str
    tags: list[str]
    rank: Literal[0, 1, 2]
    audio_ms: int
    channels: int
    connection_ms: int
    bytes_in: int
    bytes_out: int
    status: int
    close_code: int | None
    price_id: int | None
    charge_micros: int
    model: str
    features: list[str]
    failovers: int
    first_word_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much was used."""

    requests: int = 0
    audio_ms: int = 0
    connection_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    charge_micros: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow(Amounts):
    """What a group of requests used; of its features those by which it was grouped."""

    day: date | None = None
    accessor: str | None = None
    endpoint: str | None = None
    service: Service | None = None
    tag: str | None = None
    model: str | None = None
    features: list[str] | None = None
    method: Method | None = None


@dataclass(frozen=True, slots=True)
class BothSums:
    """A day by its rollups, and by its requests."""

    requests: int
    audio_ms: int
    charge_micros: int
    from_requests: int
    audio_ms_from_requests: int
    charge_micros_from_requests: int


@dataclass(frozen=True, slots=True)
class NamesUsed:
    """What the requests of a period carry, each in order."""

    tags: list[str]
    features: list[str]
    keys: list[str]
    services: list[Service]


@dataclass(frozen=True, slots=True)
class Balance:
    """All that an account was credited with and charged, in micro-dollars, all its billed audio, its newest credit."""

    credit_micros: int
    spent_micros: int
    audio_ms: int
    newest_credit: str | None

    @property
    def amount_micros(self) -> int:
        """What is left; below zero it is owed."""
        return self.credit_micros - self.spent_micros
