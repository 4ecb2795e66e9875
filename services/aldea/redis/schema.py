"""What is stored in Redis: key names and record shapes, shared by the backend (writer) and the proxies (readers).

PostgreSQL is the truth for credentials and projects; Redis holds what admission needs, in one hash each:

- `cred:{sha256}`    a credential, named by the hex SHA-256 of its text: API key, short-lived token or session
- `project:{id}`     a project's state and limits, and its billing account
- `account:{id}`     a billing account's plan and limits, what it was granted and how much it may owe
- `prices:{plan}`    a plan's prices, each service's (and each model's) a schedule of aldea/redis/prices.py
- `keys:loaded`      set after a full load of the credentials; while it is missing an unknown key means "not yet"
- `rate:{subject}`   GCRA's theoretical arrival time, microseconds of Redis' clock; a subject is a project, a key or an
  account, the latter two here and below only if they are limited
- `leases:{subject}` ZSET of running requests: member = request id, score = expiry in ms of Redis' clock
- `used:{project}:{YYYYMM}` billed audio of the UTC month, ms
- `spent:{account}`  a billing account's charges: `micros`, micro-dollars; `corrected`, how often the backend lowered it
- `spent:{subject}:{YYYYMM}` what the UTC month's limits are compared with: `micros`, `audio_ms`; `corrected` as above;
  of a project only if it has a budget, but for `corrected`, which counts for `used:` as well
- `metered:{request}` what was booked for a request: `rank seq audio_ms`, and of a running file what is reserved of
  that; lives somewhat longer than the request
- `reserved`         reservations of running files, by request: `audio_ms micros` and what they are booked to
- `throttle:{rule}:{hash}` the backend's own: tries of an address or account, and turns at one (backend/api/throttle.py)
- `alerts:events`    stream of what proxies have to report to customers, one field `e` holding JSON
- `usage:readings`   stream of usage readings, one field `r` holding the reading's JSON
- `fleet:tasks`      ZSET of proxies that have a view, by the ms of Redis' clock until which it is kept
- `fleet:task:{task}` a proxy's view of its STT servers, JSON (aldea/upstream/fleet.py)
- `callbacks:…`, `callback:{id}` results that wait for delivery (http_proxy.callbacks.store)
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

KEYS_LOADED: Final = "keys:loaded"
RESERVED: Final = "reserved"
USAGE_STREAM: Final = "usage:readings"
USAGE_FIELD: Final = "r"
USAGE_GROUP: Final = "publisher"
# Far more than can wait there while the database is unavailable; the oldest go first.
ALERTS_STREAM: Final = "alerts:events"
ALERTS_FIELD: Final = "e"
MAX_ALERTS: Final = 100_000

FLEET_TASKS: Final = "fleet:tasks"

# What a transcription needs, as in the public management API.
TRANSCRIBE_SCOPE: Final = "usage:write"


def credential_key(sha256_hex: str) -> str:
    """The key of the record of the credential with this hash."""
    return f"cred:{sha256_hex}"


def project_key(project_id: str) -> str:
    """The key of a project's record."""
    return f"project:{project_id}"


def leases_key(project_id: str) -> str:
    """Where a project's running requests are listed."""
    return f"leases:{project_id}"


def used_key(project_id: str, month: str) -> str:
    """Where a project's billed audio of a UTC month (`YYYYMM`) is counted."""
    return f"used:{project_id}:{month}"


def account_key(account_id: str) -> str:
    """The key of a billing account's record."""
    return f"account:{account_id}"


def prices_key(plan: str) -> str:
    """The key of a plan's prices."""
    return f"prices:{plan}"


def spent_key(account_id: str) -> str:
    """Where a billing account's charges are summed."""
    return f"spent:{account_id}"


def spent_in_month_key(subject_id: str, month: str) -> str:
    """Where what a limited key, project or account spent in a UTC month (`YYYYMM`) is counted."""
    return f"spent:{subject_id}:{month}"


def metered_key(request_id: str) -> str:
    """Where it is remembered what was booked for a request."""
    return f"metered:{request_id}"


def fleet_task_key(task: str) -> str:
    """Where a proxy's view of its STT servers is."""
    return f"fleet:task:{task}"


def month(unix_ms: int) -> str:
    """The UTC month, `YYYYMM`, of a Unix time in milliseconds: a request counts for the month in which it began."""
    return _month_of_day(unix_ms // 86_400_000)


@lru_cache(maxsize=8)
def _month_of_day(unix_day: int) -> str:
    return time.strftime("%Y%m", time.gmtime(unix_day * 86_400))


@lru_cache(maxsize=4096)
def read_tags(text: str) -> tuple[str, ...]:
    """The tags of a credential's record: a JSON array, or an empty text for none."""
    return tuple(json.loads(text)) if text else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key or a billing account is limited to; None: not limited.

    `counted_as`: the id under which it is counted, which several keys may have in common. The budget is of a UTC month,
    in micro-dollars.
    """

    counted_as: str
    requests_per_minute: int | None = None
    concurrent_streams: int | None = None
    monthly_audio_ms: int | None = None
    monthly_budget_micros: int | None = None

    def to_text(self) -> str:
        """The text that limits.lua reads; an empty one if nothing is limited."""
        found = (
            self.requests_per_minute, self.concurrent_streams, self.monthly_audio_ms, self.monthly_budget_micros,
        )  # fmt: skip
        if found == (None, None, None, None):
            return ""
        return " ".join([self.counted_as, *("-" if limit is None else str(limit) for limit in found)])

    @classmethod
    def from_text(cls, text: str) -> "Limits | None":
        """Read back what `to_text` made; None: nothing is limited."""
        if not text:
            return None
        counted_as, *found = text.split()
        per_minute, streams, audio_ms, budget = (None if limit == "-" else int(limit) for limit in found)
        return cls(
            counted_as=counted_as,
            requests_per_minute=per_minute,
            concurrent_streams=streams,
            monthly_audio_ms=audio_ms,
            monthly_budget_micros=budget,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecord:
    """A credential as admission sees it.

    `expires_ms`: Unix milliseconds, None = never. `parent`: for a token, the hex SHA-256 of the key or session that
    it was granted by; a stream that a token opened lives as long as its parent. `key_id`: what the use is booked on
    (for a session's token: the session's user id). `tags`: of a key, what every request with it carries, also those of
    the tokens that it granted. `limits`: of a key; they hold for the tokens that it granted, too.
    """

    kind: Literal["key", "token", "session"]
    state: Literal["active", "revoked"]
    project_id: str
    key_id: str
    scopes: frozenset[str]
    expires_ms: int | None = None
    parent: str = ""
    tags: tuple[str, ...] = ()
    limits: Limits | None = None

    def to_hash(self) -> dict[str, str]:
        """The Redis hash."""
        return {
            "kind": self.kind,
            "state": self.state,
            "project_id": self.project_id,
            "key_id": self.key_id,
            "scopes": " ".join(sorted(self.scopes)),
            "expires_ms": "" if self.expires_ms is None else str(self.expires_ms),
            "parent": self.parent,
            "tags": json.dumps(self.tags, ensure_ascii=False) if self.tags else "",
            "limits": self.limits.to_text() if self.limits is not None else "",
        }

    @classmethod
    def from_hash(cls, raw: Mapping[str, str]) -> "CredentialRecord":
        """Read back what `to_hash` made."""
        return cls(
            kind=raw["kind"],  # type: ignore[arg-type]
            state=raw["state"],  # type: ignore[arg-type]
            project_id=raw["project_id"],
            key_id=raw["key_id"],
            scopes=frozenset(raw["scopes"].split()),
            expires_ms=int(raw["expires_ms"]) if raw.get("expires_ms") else None,
            parent=raw.get("parent", ""),
            # Absent where a release before tags wrote the record.
            tags=read_tags(raw.get("tags", "")),
            limits=Limits.from_text(raw.get("limits", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRecord:
    """A project as admission sees it; a limit that is None does not apply.

    `account_id`: its billing account's; an empty text where a release before accounts wrote the record. The budget is
    of a UTC month, in micro-dollars.
    """

    state: Literal["active", "suspended"]
    requests_per_minute: int | None
    concurrent_streams: int | None
    monthly_audio_ms: int | None
    account_id: str = ""
    monthly_budget_micros: int | None = None

    def to_hash(self) -> dict[str, str]:
        """The Redis hash; an absent limit is an empty text."""

        def text(limit: int | None) -> str:
            return "" if limit is None else str(limit)

        return {
            "state": self.state,
            "requests_per_minute": text(self.requests_per_minute),
            "concurrent_streams": text(self.concurrent_streams),
            "monthly_audio_ms": text(self.monthly_audio_ms),
            # An earlier release's. Fields are only ever added: of two records of one revision the larger is newer.
            "balance": "",
            "account_id": self.account_id,
            "budget": text(self.monthly_budget_micros),
        }

    @classmethod
    def from_hash(cls, raw: Mapping[str, str]) -> "ProjectRecord":
        """Read back what `to_hash` made."""

        def limit(name: str) -> int | None:
            return int(raw[name]) if raw.get(name) else None

        return cls(
            state=raw["state"],  # type: ignore[arg-type]
            requests_per_minute=limit("requests_per_minute"),
            concurrent_streams=limit("concurrent_streams"),
            monthly_audio_ms=limit("monthly_audio_ms"),
            account_id=raw.get("account_id", ""),
            monthly_budget_micros=limit("budget"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """A billing account as admission sees it; amounts in micro-dollars.

    `granted_micros`: the sum of its ledger, None if that is empty. `owed_micros`: how much it may owe before its
    projects are refused, None: any amount.
    """

    plan: str
    granted_micros: int | None
    owed_micros: int | None
    limits: Limits | None = None

    def to_hash(self) -> dict[str, str]:
        """The Redis hash, as money.lua reads it."""
        return {
            "plan": self.plan,
            "granted": "" if self.granted_micros is None else str(self.granted_micros),
            "owed": "" if self.owed_micros is None else str(self.owed_micros),
            "limits": self.limits.to_text() if self.limits is not None else "",
        }
