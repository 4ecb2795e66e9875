"""The audit log in plain words: who did what to whom, and the details that matter. Pure functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from frontend.models import AuditActor, AuditEntry
from frontend.scopes import named
from frontend.wording import audio, micros, number, short_id

Detail = Mapping[str, Any]

# Action → what was done. A target in it is named by `_target`.
_WORDS: Final = {
    "project.create": "Created the project",
    "project.rename": "Renamed the project",
    "project.delete": "Deleted the project",
    "project.limits": "Changed the limits",
    "project.own_limits": "Changed the project's own limits",
    "account.limits": "Changed the limits of the billing account",
    "project.move": "Moved the project to another billing account",
    "project.credit": "Credited the project",
    "project.plan": "Changed the plan",
    "project.suspend": "Suspended the project",
    "project.resume": "Resumed the project",
    "key.create": "Created the key",
    "key.rotate": "Rotated the key",
    "key.limits": "Changed the limits of the key",
    "key.revoke": "Revoked the key",
    "key.keep": "Kept the key of a former member",
    "member.change": "Changed the role of",
    "member.remove": "Removed",
    "member.leave": "Left the project",
    "webhook.create": "Added the webhook",
    "webhook.change": "Changed the webhook",
    "webhook.rotate": "Rotated the secret of a webhook",
    "webhook.delete": "Deleted the webhook",
    "webhook.test": "Sent a test to a webhook",
    "webhook.resend": "Sent an event to a webhook again",
    "invite.create": "Invited",
    "invite.withdraw": "Withdrew the invite of",
    "invite.accept": "Accepted an invite",
}
# What was done to somebody or something: the others say it all, or were done by the target itself.
_TARGETED: Final = frozenset(
    {
        "key.create",
        "key.limits",
        "key.rotate",
        "key.revoke",
        "key.keep",
        "member.change",
        "member.remove",
        "invite.create",
        "invite.withdraw",
    }
)
_LIMITS: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "requests_per_minute": ("requests per minute", number),
    "concurrent_streams": ("concurrent requests", number),
    "monthly_audio_seconds": ("audio per month", audio),
    "monthly_budget_micros": ("budget per month", micros),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A row. `words`: what was done; `target`: to whom or what, "" if the words say it; `detail`: "" if nothing."""

    at: str
    who: str
    who_detail: str
    words: str
    target: str
    detail: str
    action: str


def shown(entry: AuditEntry, names: Mapping[str, str]) -> Change:
    """A row from the API's entry. `names`: what members and keys are called, by their id."""
    action, detail = entry.action, entry.detail
    who, who_detail = _who(entry.actor)
    target = ""
    if action in _TARGETED or action not in _WORDS:
        target = detail.get("comment") or names.get(entry.target) or _readable(entry.target)
    return Change(
        at=entry.at,
        who=who,
        who_detail=who_detail,
        words=_WORDS.get(action, action),
        target=target,
        detail=_detail(action, detail),
        action=action,
    )


def _who(actor: AuditActor) -> tuple[str, str]:
    name = actor.name
    match actor.kind:
        case "user":
            return name or "A former member", ""
        case "key":
            return name or "An API key", "API key"
        case "operator":
            return "Operator", "of the platform"
    return "The platform", ""


def _detail(action: str, detail: Detail) -> str:
    match action:
        case "project.plan":
            return _from_to(detail.get("before"), detail.get("plan"))
        case "project.rename":
            return _from_to(detail.get("before"), detail.get("name"))
        case "member.change":
            return _from_to(detail.get("before"), detail.get("role"))
        case "invite.create" | "invite.accept":
            return f"as {detail['role']}" if detail.get("role") else ""
        case "webhook.create" | "webhook.change" | "webhook.delete":
            return str(detail.get("url") or "")
        case "key.create":
            return named(detail.get("scopes") or ())
        case "project.credit":
            return f"{micros(detail.get('amount_micros', 0))}: {detail.get('note', '')}"
        case "project.suspend":
            return str(detail.get("reason") or "")
        case "project.limits" | "project.own_limits" | "account.limits" | "key.limits":
            before, after = detail.get("before") or {}, detail.get("limits") or {}
            return "; ".join(_limit(name, before.get(name), after[name]) for name in _LIMITS if name in after)
    return ""


def _limit(name: str, before: Any, after: Any) -> str:
    words, write = _LIMITS[name]
    return f"{words}: " + _from_to(*("no limit" if value is None else write(value) for value in (before, after)))


def _from_to(before: Any, after: Any) -> str:
    return f"{before} → {after}" if before and after else str(after or "")


def _readable(target: str) -> str:
    return target if "@" in target else short_id(target)
