"""Requests and responses of the API keys' endpoints: the public management API's shapes."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema

from aldea import tags as rule
from backend.api.endpoint import Body, Change, OwnBody, PropagationState, Query, ResponseModel
from backend.api.faults import ONE_LINE, ZONED, spelled
from backend.limits.models import ConcurrentStreams, LimitSet, MonthlyBudget, MonthlySeconds, RequestsPerMinute

Scope = Literal[
    "keys:read", "keys:write", "usage:read", "usage:write", "members:read", "members:write",
    "project:read", "project:write", "billing:read", "member", "admin", "owner",
]  # fmt: skip
Tag = Annotated[
    str, Field(min_length=1, max_length=64, pattern=spelled("a text without control characters", rule.PATTERN))
]

# The longest life that can be requested in seconds: ten years.
MAX_TTL_SECONDS = 315_360_000


# The last second of the calendar: "for ever", as some clients write it. Anything nearer to the end of the year 9999 is
# no time to PostgreSQL's client any more.
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


# RFC 3339 section 5.6, with its lower-case letters and the space for the T; seconds may be missing.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)", re.ASCII)


def read_expiry(value: object) -> datetime:
    """A time with a zone, in UTC, from its text. Raises ValueError, also for a number: it might be seconds or ms."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, str) and _TIME.fullmatch(value) is not None:
        try:
            found = datetime.fromisoformat(value.upper())
        except ValueError:
            raise ValueError(ZONED) from None
    else:
        raise ValueError(ZONED)
    if found.tzinfo is None:
        raise ValueError(ZONED)
    try:
        return min(found.astimezone(UTC), LATEST)
    except OverflowError:
        raise ValueError("a time whose UTC date lies in the years 1 to 9999") from None


Moment = Annotated[datetime, PlainValidator(read_expiry), WithJsonSchema({"type": "string", "format": "date-time"})]


class KeyQuery(Query):
    """Which keys to list."""

    status: Literal["active", "expired"] | None = Field(None, description="Only keys that are active, or expired")


class RevokeQuery(Query):
    """What to do with what the key made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    children: Literal["keep", "revoke"] = Field(
        "keep", description="revoke: also the keys that this key made, those that they made, and their open invites"
    )


class CreateKey(Body):
    """A new key. Its expiry is given as a date or as a time to live, or not at all."""

    comment: str = Field(max_length=200, pattern=ONE_LINE, description="What the key is for")
    scopes: list[Scope] = Field(min_length=1, max_length=12, description="What the key may do")
    tags: list[Tag] = Field(
        [],
        max_length=16,
        description="Tags that the usage of each of its requests carries, before the request's own; 16 in all",
    )
    expiration_date: Moment | None = Field(
        None,
        description="When the key ends, with a time zone. A key that is made by a key ends with it: by default, and at "
        "the latest",
    )
    time_to_live_in_seconds: int | None = Field(None, ge=1, le=MAX_TTL_SECONDS, description="When the key ends")
    requests_per_minute: RequestsPerMinute | None = None
    concurrent_streams: ConcurrentStreams | None = None
    monthly_audio_seconds: MonthlySeconds | None = None
    monthly_budget_micros: MonthlyBudget | None = None


class RotateKey(OwnBody):
    """How long the old key stays good beside the new one."""

    overlap_seconds: int = Field(3600, ge=0, le=30 * 86_400, description="seconds, 0 to 30 days")


class ApiKey(ResponseModel):
    """An API key, without its text. `last_used`: when its latest request of any kind began, seconds late.

    `made_by`: the id of the key that it was made with; null: a signed-in member made it. `limited_as`: the id of the
    key whose limits these are, and which it counts with; null: they are its own.
    """

    api_key_id: str
    comment: str
    scopes: list[str]
    tags: list[str]
    created: datetime
    expiration_date: datetime | None
    last4: str
    last_used: datetime | None
    made_by: str | None
    limits: LimitSet
    limited_as: str | None


class KeyMember(ResponseModel):
    """Whom a key counts as theirs."""

    member_id: str | None
    email: str | None


class ListedKey(ResponseModel):
    """An API key and its member."""

    member: KeyMember
    api_key: ApiKey


class KeyList(ResponseModel):
    """The keys of a project, oldest first; revoked ones are not listed."""

    api_keys: list[ListedKey]


class NamedMember(KeyMember):
    """The same with their name."""

    first_name: str
    last_name: str


class KeyOwner(NamedMember):
    """The member of a single key, with the key inside."""

    api_key: ApiKey


class KeyItem(ResponseModel):
    """The public API's wrapping of a single key."""

    member: KeyOwner


class MadeKey(ResponseModel):
    """A key that another key made, itself or by a key that it made."""

    api_key_id: str
    comment: str
    expiration_date: datetime | None


class KeyDetail(ResponseModel):
    """One API key. `made`: the good keys that it made; `invites`: the addresses of open invites that these all made.

    The key is here twice: some of the public API's clients read it from `item`, others from `member` and `api_key`.
    """

    item: KeyItem
    member: NamedMember
    api_key: ApiKey
    made: list[MadeKey]
    invites: list[str]


class RevokedKey(Change):
    """`children`, `invites`: what the key made; `children_revoked`: whether that was revoked and withdrawn with it."""

    children: list[MadeKey]
    invites: list[str]
    children_revoked: bool


class CreatedKey(ResponseModel):
    """A new API key with its text, which is shown this once."""

    api_key_id: str
    key: str
    comment: str
    scopes: list[str]
    tags: list[str]
    created: datetime
    expiration_date: datetime | None
    limits: LimitSet
    limited_as: str | None
    propagation: PropagationState


class RotatedKey(CreatedKey):
    """The new key of a rotation, and until when the old one stays good."""

    replaces: str
    old_key_expires: datetime
