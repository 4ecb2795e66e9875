"""The API's refusals as sentences of a form: its fields by the labels that the reader sees, without the API's frame."""

import re
from collections.abc import Mapping
from typing import Final

# What the API writes around the faults of a request (backend/api/faults.py).
_FRAME: Final = re.compile(r"\AUnusable parameters: (?P<faults>.*) Correct this and send it again\.\Z", re.DOTALL)
_FIELD: Final = re.compile(r"(?P<before>\A|\. )(?P<name>[a-z_]+)(?:\[(?P<entry>[0-9]+)\])?: got ")
# What the API writes of fields that do not go together, or lack others, with their names in the text.
_CONTRADICTION: Final = "values that contradict each other"
_TOGETHER: Final = re.compile(r"(?P<before>\A|\. )parameters: got (?P<got>[^;.]*); allowed: (?P<allowed>[^.]*)")
_WORD: Final = re.compile(r"[a-z_]+")
# The API's name of a field → the console's label of it; texts say which form it is.
LABELS: Final[Mapping[str, str]] = {
    "email": "E-mail",
    "password": "Password",
    "current_password": "Current password",
    "new_password": "New password",
    "name": "Name",
    "project_name": "First project",
    "token": "Code",
    "comment": "Name",
    "scopes": "Permissions",
    "tags": "Tags",
    "time_to_live_in_seconds": "Expires",
    "overlap_seconds": "Old key expires",
    "scope": "Role",
    "requests_per_minute": "Requests per minute",
    "concurrent_streams": "Concurrent requests",
    "monthly_audio_seconds": "Audio per month, in seconds",
    "monthly_budget_micros": "Budget per month, in millionths of a US dollar",
    "balance_thresholds_micros": "Threshold, in millionths of a US dollar",
    "account_id": "Billing account id",
    "amount_micros": "Amount, in millionths of a US dollar",
    "note": "Note",
    "kind": "Kind",
    "expires": "Expires",
    "reason": "Reason",
    "url": "URL",
    "description": "Description",
    "plan": "Plan",
    "credit_limit_micros": "Credit limit, in millionths of a US dollar",
    "service": "Service",
    "model": "Model",
    "micros_per_hour": "Price, in millionths of a US dollar per hour",
    "effective_from": "From",
}


def form_words(message: str) -> str:
    """A refusal's text for the form that it is about; what is not about a field of a form stays as it is."""
    if (framed := _FRAME.match(message)) is not None:
        return _FIELD.sub(_labelled, _TOGETHER.sub(_together, framed["faults"]))
    field, colon, rest = message.partition(": ")
    return f"{LABELS[field]}{colon}{rest}" if field in LABELS else message


def _labelled(found: re.Match[str]) -> str:
    label = LABELS.get(found["name"], found["name"])
    entry = "" if found["entry"] is None else f", number {int(found['entry'][:9]) + 1}"
    return f"{found['before']}{label}{entry}: got "


def _together(found: re.Match[str]) -> str:
    allowed = _WORD.sub(_quoted, found["allowed"])
    if found["got"] == _CONTRADICTION:
        return f"{found['before']}These fields do not go together. Allowed: {allowed}"
    return f"{found['before']}A field is missing: got {_WORD.sub(_quoted, found['got'])}. Allowed: {allowed}"


def _quoted(found: re.Match[str]) -> str:
    """A field's name in a text as its label, without the unit in which the API takes it."""
    label = LABELS.get(found[0]) if "_" in found[0] else None
    return found[0] if label is None else f"“{label.partition(',')[0]}”"
