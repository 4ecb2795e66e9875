"""What the console reads of the Platform API's responses, and nothing else: the pages' only way to them.

Times and days stay the API's text (ISO 8601, UTC), since pages only show them or pass them on. What the API adds is
ignored; a field with a default may be absent from an API of the version before, for the minutes of an update.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Role = Literal["owner", "admin", "member"]
ProjectState = Literal["active", "suspended"]


class Model(BaseModel):
    """A part of a response."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class User(Model):
    """The reader's account."""

    user_id: str
    email: str
    name: str
    operator: bool = False


class Membership(Model):
    """One of the reader's projects and their role in it."""

    project_id: str
    name: str
    role: Role
    state: ProjectState = "active"


class Me(Model):
    """The reader and their projects, oldest first."""

    user: User
    projects: list[Membership]


class KnownDevice(Model):
    """What a browser keeps, so that tries from elsewhere cannot slow its reader down."""

    device_token: str | None = None
    device_expires: str | None = None


class SignedIn(KnownDevice):
    """A new session."""

    session_token: str
    expires: str | None = None


class ProjectId(Model):
    """Of a project that was made or joined."""

    project_id: str


class GrantedToken(Model):
    """A short-lived token; `expires_in`: seconds."""

    access_token: str
    expires_in: float


class ProjectLimits(Model):
    """Limits of a project; None: none."""

    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_seconds: int | None


class LimitSet(ProjectLimits):
    """Limits of whatever is limited; a budget is of a month, in micro-dollars."""

    monthly_budget_micros: int | None


class ApiKey(Model):
    """An API key without its text. `made_by`: the id of the key that it was made with.

    `limited_as`: the id of the key whose limits these are, and with which it is counted.
    """

    api_key_id: str
    comment: str
    scopes: list[str]
    tags: list[str]
    created: str
    expiration_date: str | None
    last4: str
    last_used: str | None
    made_by: str | None = None
    limits: LimitSet | None = None
    limited_as: str | None = None


class KeyMember(Model):
    """Whom a key counts as theirs."""

    member_id: str | None
    email: str | None


class ListedKey(Model):
    """An API key and its member."""

    member: KeyMember
    api_key: ApiKey


class KeyList(Model):
    """The keys of a project, oldest first."""

    api_keys: list[ListedKey]


class MadeKey(Model):
    """A key that another key made."""

    api_key_id: str
    comment: str
    expiration_date: str | None


class KeyDetail(Model):
    """What a key made: good keys, and the addresses of open invites."""

    made: list[MadeKey] = []
    invites: list[str] = []


class CreatedKey(Model):
    """A new key with its text. `old_key_expires`: after a rotation, until when the old one stays good."""

    key: str
    scopes: list[str]
    propagation: str
    old_key_expires: str | None = None


class Member(Model):
    """A member of a project."""

    member_id: str
    email: str
    first_name: str
    last_name: str
    role: Role


class MemberList(Model):
    """The members of a project, in the order in which they joined."""

    members: list[Member]


class Invite(Model):
    """An invite that can still be accepted. `scope`: the role that it gives."""

    email: str
    scope: Role
    created: str
    expires: str


class InviteList(Model):
    """The open invites of a project, oldest first."""

    invites: list[Invite]


class IssuedToken(Model):
    """A code to hand to its person, shown once: of an invite or a password reset."""

    token: str
    expires: str


class MonthUsed(Model):
    """What was used in this UTC month."""

    month_audio_seconds: float
    month_charge_micros: int


class LimitsUsed(MonthUsed):
    """How much of the limits is used; `streams_now`: None while that cannot be known."""

    streams_now: int | None


class AccountLimits(LimitSet):
    """Limits over all projects of the billing account, and what these used."""

    account_id: str
    used: MonthUsed


class Limits(LimitSet):
    """The limits that hold for a project, those that its owners set and its account's, and what of them is used."""

    own: LimitSet
    account: AccountLimits
    used: LimitsUsed


class LiveRequest(Model):
    """A request that runs."""

    request_id: str
    lane: str
    path: str
    audio_seconds: float


class Live(Model):
    """What runs in a project; `streams`: the newest hundred."""

    count: int
    streams: list[LiveRequest]


class LiveLane(Model):
    """What runs on one lane; `oldest`: when the request began that runs the longest."""

    lane: str
    service: str
    streams: int
    projects: int
    audio_seconds: float
    oldest: str


class LiveLanes(Model):
    """What runs on the whole platform."""

    lanes: list[LiveLane]


class Request(Model):
    """A request for transcription. `code`: the HTTP status, `close_code`: the client's; None: not known yet.

    `failovers`: how often another STT server took a live stream over. `charge_micros`: its cost, in micro-dollars.
    `first_word_ms`: from its first audio to its first words, None without any.
    """

    request_id: str
    created: str
    path: str
    api_key_id: str
    service: str
    lane: str
    state: str
    code: int | None
    close_code: int | None
    failovers: int
    first_word_ms: int | None = None
    charge_micros: int = 0
    audio_seconds: float
    channels: int
    connection_seconds: float
    bytes_in: int
    bytes_out: int
    tags: list[str]


class RequestList(Model):
    """A page of requests, newest first."""

    requests: list[Request]
    next_page_token: str | None


class RequestItem(Model):
    """One request."""

    request: Request


class Amounts(Model):
    """Hours of audio, every channel counted, requests, and what they are charged, in micro-dollars."""

    hours: float
    requests: int
    charge_micros: int = 0


class DayUsage(Amounts):
    """Usage of the day `start`."""

    start: str


class Usage(Model):
    """Usage by day, days without any included."""

    results: list[DayUsage]
    total: Amounts


class Group(Model):
    """What the requests of a group have in common; None: not grouped by it. `start`: the first day of the group."""

    start: str = ""
    accessor: str | None = None
    endpoint: str | None = None
    service: str | None = None
    tags: list[str] | None = None


class GroupUsage(Amounts):
    """Usage of one group."""

    grouping: Group


class Breakdown(Model):
    """Usage by group."""

    results: list[GroupUsage]


class Balance(Model):
    """Credit that is left, in US dollars."""

    amount: float


class BalanceList(Model):
    """A project's balances."""

    balances: list[Balance]


class Spend(Model):
    """What a period costs."""

    amount: float
    units: str
    price_per_hour: float


class OperatedProject(Model):
    """A project as operators see it."""

    project_id: str
    name: str
    state: ProjectState
    created: str
    owners: list[str]
    limits: ProjectLimits
    month_audio_seconds: float
    streams_now: int | None


class OperatedProjects(Model):
    """A page of projects, newest first."""

    projects: list[OperatedProject]
    next_page_token: str | None


class AccountPlan(Model):
    """How a billing account pays. `credit_limit_micros`: how much it may owe; None: of postpaid, any amount."""

    plan: str
    credit_limit_micros: int | None


class Credit(Model):
    """One credit, in micro-dollars."""

    amount_micros: int
    note: str
    created: str


class Credits(Model):
    """A project's newest credits, and its account in micro-dollars: what is left, all credits, all spend."""

    credits: list[Credit]
    amount_micros: int
    credit_micros: int
    spent_micros: int


class AuditActor(Model):
    """Who made a change."""

    kind: str
    name: str | None


class AuditEntry(Model):
    """A change. `detail`: what each action says of itself."""

    at: str
    actor: AuditActor
    action: str
    target: str
    detail: dict[str, Any]


class AuditPage(Model):
    """A page of changes, newest first."""

    entries: list[AuditEntry]
    next_page_token: str | None


class StatementLine(Model):
    """What was charged for requests of a day. `model`: None: they named none."""

    project_id: str
    service: str
    model: str | None
    day: str
    requests: int
    audio_ms: int
    charge_micros: int


class StatementEntry(Model):
    """An entry of the account's ledger."""

    kind: str
    amount_micros: int
    note: str
    created: str


class Statement(Model):
    """A month of the billing account, with the project's lines."""

    month: str
    closed: bool
    closes: str
    opening_micros: int
    credited_micros: int
    charged_micros: int
    closing_micros: int
    lines_micros: int
    entries: list[StatementEntry]
    lines: list[StatementLine]


class BilledGroup(Model):
    """What the requests of a group have in common; None: not grouped by it."""

    accessor: str | None = None
    tags: list[str] | None = None


class Billed(Model):
    """What a group is charged."""

    dollars: float
    grouping: BilledGroup


class BillingBreakdown(Model):
    """The bill of a period by group."""

    results: list[Billed]


class AlertSettings(Model):
    """Below which balances of their own billing account the reader is notified, in micro-dollars."""

    balance_thresholds_micros: list[int]


class Webhook(Model):
    """A webhook. `types`: None: all."""

    webhook_id: str
    url: str
    description: str
    types: list[str] | None
    created: str
    enabled: bool
    failing_since: str | None


class WebhookList(Model):
    """A project's webhooks."""

    webhooks: list[Webhook]


class WebhookSecret(Model):
    """A webhook's secret, in this response alone."""

    webhook_id: str
    secret: str


class Attempt(Model):
    """One attempt of a delivery."""

    attempted: str
    took_ms: int | None
    status: int | None
    response: str | None
    error: str | None


class Delivery(Model):
    """An event on its way to a webhook, its receiver's last response, and the newest attempts, oldest first."""

    delivery_id: str
    type: str
    state: str
    attempts: int
    created: str
    due: str | None
    attempted: str | None
    took_ms: int | None
    status: int | None
    response: str | None
    error: str | None
    history: list[Attempt] = []


class DeliveryPage(Model):
    """Deliveries, newest first."""

    deliveries: list[Delivery]
    next_page_token: str | None


class AlertEvent(Model):
    """Something that customers are notified of."""

    event_id: str
    type: str
    created: str
    data: dict[str, Any]


class EventPage(Model):
    """Events, newest first."""

    events: list[AlertEvent]
    next_page_token: str | None


class Price(Model):
    """A price of the price book. `effective_from`: None: since ever."""

    plan: str
    service: str
    model: str | None
    micros_per_hour: int
    effective_from: str | None


class Prices(Model):
    """The price book, those that begin last first."""

    prices: list[Price]
