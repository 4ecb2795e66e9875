"""What customers are notified of: the types of events, and which change of the platform is one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal, get_args

# In the order in which the documentation lists them.
Type = Literal[
    "balance.low", "balance.spent", "quota.reached", "budget.reached", "key.created", "key.rotated", "key.revoked",
    "key.expiring", "callback.failed", "project.suspended", "project.resumed", "price.announced", "sign_in.new_device",
    "webhook.disabled", "webhook.test",
]  # fmt: skip
TYPES: Final[tuple[Type, ...]] = get_args(Type)
# Of these owners get a mail, too: what costs money or stops work if nobody looks.
MAILED: Final[frozenset[Type]] = frozenset(
    {
        "balance.low", "balance.spent", "quota.reached", "budget.reached", "key.expiring", "project.suspended",
        "price.announced", "sign_in.new_device", "webhook.disabled",
    }
)  # fmt: skip
# Parts of a limit, in per cent, of which somebody is notified.
PERCENTS: Final = (50, 80, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to notify of. Of a project; without one of the billing account, to all its projects.

    `dedup`: what makes it happen once, in 90 days; None: it is another one each time. `data`: holds no secret.
    """

    type: Type
    account_id: str | None = None
    project_id: str | None = None
    dedup: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_object(self) -> dict[str, Any]:
        """The same for the outbox's statement."""
        return {
            "type": self.type,
            "account_id": self.account_id,
            "project_id": self.project_id,
            "dedup": self.dedup,
            "data": dict(self.data),
        }


# Which lines of the audit log are events: the name of the target among the data, and what of the detail is passed on.
_OF_CHANGES: Final[Mapping[str, tuple[Type, str, tuple[str, ...]]]] = {
    "key.create": ("key.created", "key_id", ("comment", "scopes", "expires")),
    "key.rotate": ("key.rotated", "key_id", ("replaced_by", "ends")),
    "key.revoke": ("key.revoked", "key_id", ("comment",)),
    "project.suspend": ("project.suspended", "project_id", ("reason",)),
    "project.resume": ("project.resumed", "project_id", ()),
}


def of_change(action: str, target: str, project_id: str | None, detail: Mapping[str, Any]) -> Event | None:
    """The event that a line of the audit log is, None: it is none."""
    found = _OF_CHANGES.get(action)
    if found is None or project_id is None:
        return None
    kind, name, passed_on = found
    data = {name: target} | {one: detail[one] for one in passed_on if detail.get(one) is not None}
    return Event(type=kind, project_id=project_id, data=data)


@dataclass(frozen=True, slots=True)
class Used:
    """A limit of a month, and how much of it is used: milliseconds of audio, or micro-dollars of charges.

    `type`: quota.reached or budget.reached. `subject`: whose limit: key, project or account.
    """

    type: Type
    subject: str
    subject_id: str
    project_id: str | None
    account_id: str
    allowed: int
    used: int


def of_use(found: Used, month: date) -> list[Event]:
    """An event for each part of the limit that is used up. Of one limit and month each happens once.

    A limit that was changed is another one: whoever raises it is notified again.
    """
    unit = "audio_ms" if found.type == "quota.reached" else "micros"
    return [
        Event(
            type=found.type,
            account_id=found.account_id,
            project_id=found.project_id,
            dedup=f"{found.type}:{found.subject}:{found.subject_id}:{percent}:{found.allowed}:{month:%Y-%m}",
            data={
                "subject": found.subject,
                f"{found.subject}_id": found.subject_id,
                "percent": percent,
                f"limit_{unit}": found.allowed,
                f"used_{unit}": found.used,
                "month": f"{month:%Y-%m}",
            },
        )
        for percent in PERCENTS
        if found.allowed > 0 and found.used * 100 >= found.allowed * percent
    ]


@dataclass(frozen=True, slots=True)
class Fallen:
    """A balance that has fallen below a threshold (`spent`: to where nothing is admitted), for the n-th time."""

    account_id: str
    threshold_micros: int
    balance_micros: int
    spent: bool
    times: int


def of_balance(found: Fallen) -> Event:
    """The event of it: once each time that the balance was above before."""
    return Event(
        type="balance.spent" if found.spent else "balance.low",
        account_id=found.account_id,
        dedup=f"balance:{found.account_id}:{found.threshold_micros}:{found.times}",
        data={"balance_micros": found.balance_micros, "threshold_micros": found.threshold_micros, "units": "usd"},
    )
