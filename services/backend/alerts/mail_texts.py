"""What a mail says of an event, for people. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from aldea.money import usd
from backend.alerts.events import Type

_FOOT: Final = """
You get this mail because you own the project or its billing account. Events go to webhooks, too: see the
console{console}
"""


def _dollars(micros: Any) -> str:
    return f"{usd(int(micros))} USD"


def _used(data: Mapping[str, Any]) -> tuple[str, str]:
    whose = {"key": "an API key", "project": "the project", "account": "your billing account"}[str(data["subject"])]
    if "limit_audio_ms" in data:
        hours = f"{int(data['used_audio_ms']) / 3_600_000:,.1f} of {int(data['limit_audio_ms']) / 3_600_000:,.1f} hours"
        what, amount = "monthly audio", hours
    else:
        what = "monthly budget"
        amount = f"{_dollars(data['used_micros'])} of {_dollars(data['limit_micros'])}"
    then = "Requests are refused until the month ends or the limit is raised." if data["percent"] == 100 else ""
    subject = f"{data['percent']} % of the {what} of {whose} used"
    return subject, f"In {data['month']}, {amount} of {whose} are used. {then}"


def _low(data: Mapping[str, Any]) -> tuple[str, str]:
    threshold = _dollars(data["threshold_micros"])
    return f"Balance below {threshold}", f"The balance of your billing account is {_dollars(data['balance_micros'])}."


def _spent(data: Mapping[str, Any]) -> tuple[str, str]:
    balance = _dollars(data["balance_micros"])
    return "Balance spent", f"The balance of your billing account is {balance}. New requests are refused with 402."


def _expiring(data: Mapping[str, Any]) -> tuple[str, str]:
    name = data.get("comment") or data["key_id"]
    return f"API key {name} expires soon", f"The API key {name} expires at {data['expires']}. Rotate it before."


def _suspended(data: Mapping[str, Any]) -> tuple[str, str]:
    reason = f" Reason: {data['reason']}" if data.get("reason") else ""
    return (
        "Project suspended",
        f"An operator of the platform has suspended the project. Its requests are refused.{reason}",
    )


def _price(data: Mapping[str, Any]) -> tuple[str, str]:
    model = f" of the model {data['model']}" if data.get("model") else ""
    price = f"An hour of {data['service']} audio{model} costs {_dollars(data['micros_per_hour'])}"
    return (
        "A price changes",
        f"{price} from {data['effective_from']} on. Requests that began before pay the former price.",
    )


def _signed_in(data: Mapping[str, Any]) -> tuple[str, str]:
    of = f"Program: {data['user_agent']}\nNetwork: {data['network']}"
    then = "If that was not you, change your password now: it ends all other sessions."
    return (
        "Sign-in from a new device",
        f"Somebody signed in to your account with its password, on a device that was not used before.\n{of}\n{then}",
    )


def _disabled(data: Mapping[str, Any]) -> tuple[str, str]:
    then = "Repair it, and enable it again in the console or by the API."
    return "A webhook was disabled", f"The webhook {data['url']} was disabled: {data['reason']}. {then}"


_TEXTS: Final[Mapping[Type, Callable[[Mapping[str, Any]], tuple[str, str]]]] = {
    "balance.low": _low,
    "balance.spent": _spent,
    "quota.reached": _used,
    "budget.reached": _used,
    "key.expiring": _expiring,
    "project.suspended": _suspended,
    "price.announced": _price,
    "sign_in.new_device": _signed_in,
    "webhook.disabled": _disabled,
}


def text_of(kind: Type, data: Mapping[str, Any], project: str | None, console: str | None) -> tuple[str, str]:
    """Subject and text. `project`: its name and id; `console`: the console's origin."""
    subject, text = _TEXTS[kind](data)
    of = f"Project: {project}\n" if project else ""
    foot = _FOOT.format(console="." if console is None else f", {console}.")
    # A subject is one line; a comment of somebody else's making may hold no other.
    return f"Aldea: {' '.join(subject.split())[:150]}", f"{text.strip()}\n\n{of}{foot}"
