"""Requests and responses of the operators' console."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from backend.api.endpoint import Query, ResponseModel
from backend.api.faults import spelled
from backend.live.models import Service

CircuitState = Literal["closed", "half-open", "open"]


class FleetServer(ResponseModel):
    """An STT server as the proxies of one lane see it.

    `seen_by`: how many proxies; `open_at`: at how many of them its circuit is not closed. `capacity`, `used`: places
    for streams, as it said last; null: it does not say. `held`: requests of these proxies. `weightless`: its lane has
    weight 0.
    """

    lane: str
    name: str
    circuit: CircuitState
    seen_by: int
    open_at: int
    capacity: int | None
    used: int | None
    held: int
    draining: bool
    weightless: bool
    withdrawn: bool


class FleetTask(ResponseModel):
    """A proxy that reported within half a minute.

    `weight`: its lane's at the load balancer, `weights` the sum of all lanes'; null: it does not know them.
    """

    task: str
    service: str
    lane: str
    at: datetime
    running: int
    servers: int
    weight: int | None
    weights: int | None


class Failover(ResponseModel):
    """A stream that went on at another server. `lost`: null: not known any more."""

    at: datetime
    request_id: str
    lane: str
    lost: str | None
    taken: str
    cause: str


class SlowStream(ResponseModel):
    """A stream that runs and whose first words came late."""

    request_id: str
    project_id: str
    project: str
    lane: str
    created: datetime
    first_word_ms: int


class BudgetLeft(ResponseModel):
    """The part of the error budget of the last 30 days that is left, by the canary's checks; below zero: overdrawn."""

    objective: str
    title: str
    promise: str
    left: float | None


class Fleet(ResponseModel):
    """The platform now. `reported`: False while Redis is unavailable: then servers, tasks and failovers are not known.

    `readings_waiting`: usage readings in Redis that no queue has yet; `usage_lag_ms`: from a response to its usage row,
    as the canary measured last.
    """

    reported: bool
    servers: list[FleetServer]
    tasks: list[FleetTask]
    failovers: list[Failover]
    slowest: list[SlowStream]
    budgets: list[BudgetLeft]
    readings_waiting: int | None
    oldest_reading_seconds: float | None
    usage_lag_ms: int | None


class StoryRequest(ResponseModel):
    """All that is stored of one request. `reading`: which reading is stored: its rank, which `state` names."""

    request_id: str
    project_id: str
    project: str
    api_key_id: str
    key: str
    last4: str
    service: Service
    lane: str
    path: str
    endpoint: str
    created: datetime
    state: Literal["open", "incomplete", "final"]
    code: int | None
    close_code: int | None
    audio_seconds: float
    channels: int
    connection_seconds: float
    bytes_in: int
    bytes_out: int
    charge_micros: int
    price_id: int | None
    model: str
    features: list[str]
    tags: list[str]
    failovers: int
    first_word_ms: int | None
    trace_id: str | None


class KeysQuery(Query):
    """Which keys to list."""

    last4: str = Field(
        min_length=4,
        max_length=4,
        pattern=spelled("four letters of A to Z and digits", r"^[A-Za-z0-9_-]{4}$"),
        description="The last four characters of the key",
    )


class FoundKey(ResponseModel):
    """A key of any project, without its text."""

    api_key_id: str
    comment: str
    last4: str
    project_id: str
    project: str
    created: datetime
    revoked: datetime | None


class FoundKeys(ResponseModel):
    """The newest 50 keys that end so."""

    keys: list[FoundKey]
