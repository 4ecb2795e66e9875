"""What the Platform API says of servers, keys and single requests to operators, as far as the console shows it."""

from frontend.models import Model, Request


class FleetServer(Model):
    """An STT server as the proxies of one lane see it. `capacity`, `used`: None: it does not say."""

    lane: str
    name: str
    circuit: str
    seen_by: int
    open_at: int
    capacity: int | None
    used: int | None
    held: int
    draining: bool
    weightless: bool
    withdrawn: bool


class FleetTask(Model):
    """A proxy that reported lately.

    `weight`, `weights`: its lane's at the load balancer, and the sum of all lanes'; None: not known.
    """

    service: str
    lane: str
    at: str
    running: int
    weight: int | None = None
    weights: int | None = None


class Failover(Model):
    """A stream that went on at another server."""

    at: str
    request_id: str
    lane: str
    lost: str | None
    taken: str
    cause: str


class SlowStream(Model):
    """A stream whose first words came late."""

    request_id: str
    project: str
    lane: str
    created: str
    first_word_ms: int


class BudgetLeft(Model):
    """What is left of an error budget, from 1 down; None: no data."""

    title: str
    promise: str
    left: float | None


class Fleet(Model):
    """The platform now. `reported`: False: Redis is unavailable, so what proxies report is not known."""

    reported: bool
    servers: list[FleetServer]
    tasks: list[FleetTask]
    failovers: list[Failover]
    slowest: list[SlowStream]
    budgets: list[BudgetLeft]
    readings_waiting: int | None
    oldest_reading_seconds: float | None
    usage_lag_ms: int | None


class FoundKey(Model):
    """A key of any project, without its text."""

    comment: str
    last4: str
    project_id: str
    project: str
    created: str
    revoked: str | None


class FoundKeys(Model):
    """The newest keys that end so."""

    keys: list[FoundKey]


class Story(Request):
    """All that is stored of one request. `trace_id`: None: its trace was not recorded."""

    project_id: str
    project: str
    key: str
    last4: str
    endpoint: str
    price_id: int | None
    model: str
    features: list[str]
    trace_id: str | None
