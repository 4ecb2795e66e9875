"""Limits in forms: numbers as people type them, in hours and dollars, and as the API has them. Pure functions."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from frontend.models import LimitSet
from frontend.wording import MICROS, audio, micros, number

_HOUR: Final = 3600
# A form's field → the API's name for it, and what one of the form's units is there. Audio is spoken of in hours.
PLAN_FIELDS: Final[Mapping[str, tuple[str, int]]] = {
    "requests_per_minute": ("requests_per_minute", 1),
    "concurrent_streams": ("concurrent_streams", 1),
    "monthly_hours": ("monthly_audio_seconds", _HOUR),
}
FIELDS: Final[Mapping[str, tuple[str, int]]] = {**PLAN_FIELDS, "monthly_dollars": ("monthly_budget_micros", MICROS)}
PROBLEM: Final = "A limit is a number, as 1,000 (hours and dollars also as 1.5), or nothing for no limit."
# Far beyond what the API takes, and still a number like others.
_MOST_MICROS: Final = 10**18
# With a comma between thousands or without any; no longer than anybody writes.
_NUMBER: Final = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}|[0-9]{1,21})(?:\.[0-9]{0,18})?", re.ASCII)


def wanted(fields: Mapping[str, str], known: Mapping[str, tuple[str, int]] = FIELDS) -> dict[str, int | None]:
    """The limits of a form, for the API; None lifts one. Raises ValueError for what is no number."""
    return {name: _limit(fields.get(field, ""), unit) for field, (name, unit) in known.items()}


def values(limits: object, known: Mapping[str, tuple[str, int]] = FIELDS) -> dict[str, str]:
    """What a form's fields hold of limits."""
    return {
        field: "" if (limit := getattr(limits, name)) is None else f"{Decimal(limit) / unit:.10g}"
        for field, (name, unit) in known.items()
    }


def in_words(limits: LimitSet) -> list[str]:
    """What is limited, for a list."""
    found = {
        f"{number(limits.requests_per_minute)} requests per minute": limits.requests_per_minute,
        f"{number(limits.concurrent_streams)} at a time": limits.concurrent_streams,
        f"{audio(limits.monthly_audio_seconds)} of audio per month": limits.monthly_audio_seconds,
        f"{micros(limits.monthly_budget_micros)} per month": limits.monthly_budget_micros,
    }
    return [words for words, limit in found.items() if limit is not None]


def amount(text: str) -> Decimal:
    """A number as people write it. Raises ValueError: 12,50 is nobody's 1,250, and 1e3 or 1_000 is a program's."""
    if _NUMBER.fullmatch(cleaned := text.replace(" ", "")) is None:
        raise ValueError(text)
    return Decimal(cleaned.replace(",", ""))


def dollars(text: str) -> int:
    """An amount of US dollars as typed, in micro-dollars. Raises ValueError for what is none, or finer than that."""
    found = amount(text.replace("$", "", 1)) * MICROS
    if abs(found) > _MOST_MICROS or found != found.to_integral_value():
        raise ValueError(text)
    return int(found)


def _limit(text: str, unit: int) -> int | None:
    """A limit as typed, in the API's unit; None for no text. Raises ValueError, also for a part of a whole thing."""
    if not text.replace(" ", ""):
        return None
    found = amount(text.replace("$", "", 1) if unit == MICROS else text) * unit
    if unit != _HOUR and found != found.to_integral_value():
        raise ValueError(text)
    return round(found)
